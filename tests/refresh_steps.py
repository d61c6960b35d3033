"""Runs one step of refresh outside a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from functions.refresh.runs import Run
from functions.refresh.step import StepContext, StepOutcome

RUN = Run("11111111-2222-4333-8444-555555555555", 7)


async def run_step(run: Callable[[StepContext], Awaitable[StepOutcome]], *, is_dry_run: bool = False) -> dict[str, Any]:
    """The outcome's `ok` and details, as the run's row holds them."""
    outcome = await run(StepContext(RUN, is_dry_run))
    return {"ok": outcome.ok} | outcome.details
