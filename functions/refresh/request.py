"""What may be asked of a run."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from functions.refresh.steps import STEPS


class RefreshRequest(BaseModel):
    """Which steps, in the order of STEPS whatever the order asked; all of them when none is named."""

    model_config = ConfigDict(extra="forbid", strict=True)

    steps: list[str] = Field(default_factory=lambda: list(STEPS), min_length=1)
    dry_run: bool = False

    @field_validator("steps")
    @classmethod
    def _is_offered(cls, steps: list[str]) -> list[str]:
        if unknown := set(steps) - set(STEPS):
            raise ValueError(f"there is no step {min(unknown)[:40]!r}; there are {', '.join(STEPS)}")
        return steps
