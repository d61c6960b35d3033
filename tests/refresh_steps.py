"""Runs steps of refresh outside a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from functions.refresh import spool
from functions.refresh.runs import Run
from functions.refresh.step import StepContext, StepOutcome
from shared.http import close_sessions

RUN = Run("11111111-2222-4333-8444-555555555555", 7)


async def run_step(run: Callable[[StepContext], Awaitable[StepOutcome]], *, is_dry_run: bool = False) -> dict[str, Any]:
    """The outcome's `ok` and details, as the run's row holds them."""
    outcome = await run(StepContext(RUN, is_dry_run))
    return {"ok": outcome.ok} | outcome.details


def drain_at_once(times: int) -> list[dict[str, Any]]:
    """That many drains of the spool, in an event loop of their own. Raises what one raised, after all have ended."""

    async def drain() -> list[dict[str, Any] | BaseException]:
        try:
            return await asyncio.gather(*(run_step(spool.run) for _ in range(times)), return_exceptions=True)
        finally:
            await close_sessions()

    outcomes = asyncio.run(drain())
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
