"""Step `retention`: deletes log rows older than LOG_RETENTION_DAYS, in batches; what they used stays rolled up."""

from __future__ import annotations

from time import monotonic as clock
from typing import Any

from shared import supabase
from shared.config import settings

_BATCH = 5000
_SECONDS = 60.0  # the rest is the next run's


async def run(*, is_dry_run: bool) -> dict[str, Any]:
    """The step's outcome: how many rows went, in how many batches. Raises NotConfigured, DatabaseUnavailable."""
    days = _retention_days()
    if days is None:
        return {"ok": True, "purged": 0, "batches": 0, "kept": "for ever"}
    purged = batches = 0
    deadline = clock() + _SECONDS
    while not is_dry_run and clock() < deadline:
        went = await supabase.rpc(
            "purge_logs", {"retention_days": days, "batch_size": _BATCH}, supabase.as_service(), timeout_seconds=30.0
        )
        purged += went
        batches += 1
        if went < _BATCH:
            break
    return {"ok": True, "purged": purged, "batches": batches}


def _retention_days() -> int | None:
    """None when logs are kept for ever."""
    days = settings().checked("LOG_RETENTION_DAYS")
    return int(days) if days else None
