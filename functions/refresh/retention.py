"""Step `retention`: deletes log rows older than LOG_RETENTION_DAYS, in batches; the daily sums of usage stay."""

from __future__ import annotations

from time import monotonic as clock

from functions.refresh.step import StepContext, StepOutcome
from shared import supabase
from shared.config import settings

_BATCH = 5000
_SECONDS = 60.0  # the next run deletes the rest


async def run(context: StepContext) -> StepOutcome:
    """The outcome: counts of deleted rows and of batches. Raises NotConfigured, DatabaseUnavailable."""
    days = _retention_days()
    if days is None:
        return StepOutcome(details={"purged": 0, "batches": 0, "kept": "for ever"})
    purged = batches = 0
    deadline = clock() + _SECONDS
    while not context.is_dry_run and clock() < deadline:
        deleted = await supabase.rpc(
            "purge_logs", {"retention_days": days, "batch_size": _BATCH}, supabase.as_service(), timeout_seconds=30.0
        )
        purged += deleted
        batches += 1
        if deleted < _BATCH:
            break
    return StepOutcome(details={"purged": purged, "batches": batches})


def _retention_days() -> int | None:
    """LOG_RETENTION_DAYS; None when logs never expire."""
    days = settings().checked("LOG_RETENTION_DAYS")
    return int(days) if days else None
