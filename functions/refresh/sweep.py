"""Step `sweep`: closes turns whose function died, so that their questions are kept and their money is free again."""

from __future__ import annotations

from typing import Any

from shared import supabase

_BATCH = 500
_MAX_BATCHES = 40  # what a minute allows; the rest is the next run's


async def run(*, is_dry_run: bool) -> dict[str, Any]:
    """The step's outcome; `abandoned` counts the turns that were closed."""
    abandoned = 0
    for _ in range(0 if is_dry_run else _MAX_BATCHES):
        swept: int = await supabase.rpc(
            "sweep_turns", {"max_rows": _BATCH}, supabase.as_service(), timeout_seconds=15.0
        )
        abandoned += swept
        if swept < _BATCH:
            break
    return {"ok": True, "abandoned": abandoned}
