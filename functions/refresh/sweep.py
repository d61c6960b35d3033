"""Step `sweep`: closes turns of killed instances, and deletes what no replay needs and API keys that ended long ago."""

from __future__ import annotations

from functions.refresh.step import StepContext, StepOutcome
from shared import supabase

_BATCH = 500
_THIN_BATCH = 5000
_MAX_BATCHES = 40  # about a minute of work; the next run does the rest


async def run(context: StepContext) -> StepOutcome:
    """The outcome; `abandoned` counts the closed turns, `thinned` the settled ones, `api_keys` the deleted keys.

    Raises DatabaseUnavailable.
    """
    if context.is_dry_run:
        return StepOutcome(details={"abandoned": 0, "thinned": 0, "api_keys": 0})
    return StepOutcome(
        details={
            "abandoned": await _repeat("sweep_turns", _BATCH),
            "thinned": await _repeat("thin_turns", _THIN_BATCH),
            "api_keys": await _repeat("purge_api_keys", _THIN_BATCH),
        }
    )


async def _repeat(function: str, max_rows: int) -> int:
    """The number of rows that the function changed, in batches until one is not full."""
    changed = 0
    for _ in range(_MAX_BATCHES):
        rows: int = await supabase.rpc(function, {"max_rows": max_rows}, supabase.as_service(), timeout_seconds=15.0)
        changed += rows
        if rows < max_rows:
            break
    return changed
