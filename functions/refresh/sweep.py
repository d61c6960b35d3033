"""Step `sweep`: closes turns of killed instances, keeps their questions and releases their reservations."""

from __future__ import annotations

from functions.refresh.step import StepContext, StepOutcome
from shared import supabase

_BATCH = 500
_MAX_BATCHES = 40  # about a minute of work; the next run sweeps the rest


async def run(context: StepContext) -> StepOutcome:
    """The outcome; `abandoned` counts the closed turns. Raises DatabaseUnavailable."""
    abandoned = 0
    for _ in range(0 if context.is_dry_run else _MAX_BATCHES):
        swept: int = await supabase.rpc(
            "sweep_turns", {"max_rows": _BATCH}, supabase.as_service(), timeout_seconds=15.0
        )
        abandoned += swept
        if swept < _BATCH:
            break
    return StepOutcome(details={"abandoned": abandoned})
