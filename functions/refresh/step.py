"""What a step of a run receives, what it returns, and how steps depend on each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from functions.refresh.runs import Run


@dataclass(frozen=True, slots=True)
class StepContext:
    """The run that a step belongs to; a dry run changes nothing."""

    run: Run
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What a step did. `details` go into the run's row and the answer, beside `ok`.

    `sync` counts the catalogue's changes and `changes` names them; only the step `models` fills both.
    """

    ok: bool = True
    details: dict[str, Any] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    sync: dict[str, Any] = field(default_factory=dict)

    @property
    def has_errors(self) -> bool:
        """Whether a source failed, although the step may be ok."""
        return bool(self.sync.get("failed"))


@dataclass(frozen=True, slots=True)
class Step:
    """A step by its name in requests and answers; `after` names a step that must not have failed in the same run."""

    name: str
    run: Callable[[StepContext], Awaitable[StepOutcome]]
    after: str | None = None
    skipped: str = ""
    """The reason in the answer when the step `after` has failed."""
