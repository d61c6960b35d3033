"""The body of a refresh request."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from functions.refresh.steps import NAMES


class RefreshRequest(BaseModel):
    """The steps to run; they run in the order of STEPS. All steps when the body names none."""

    model_config = ConfigDict(extra="forbid", strict=True)

    steps: list[str] = Field(default_factory=lambda: list(NAMES), min_length=1)
    dry_run: bool = False

    @field_validator("steps")
    @classmethod
    def _is_offered(cls, steps: list[str]) -> list[str]:
        if unknown := set(steps) - set(NAMES):
            raise ValueError(f"there is no step {min(unknown)[:40]!r}; there are {', '.join(NAMES)}")
        return steps
