"""Step `rollup`: how models have done lately, and what can be learned of people's own turns, for those who let it."""

from __future__ import annotations

from typing import Any

from shared import supabase


async def run(*, is_dry_run: bool) -> dict[str, Any]:
    """The step's outcome: models that were measured, profiles that changed. Raises DatabaseUnavailable."""
    measured = profiles = 0
    if not is_dry_run:
        measured = await supabase.rpc("measure_models", {}, supabase.as_service(), timeout_seconds=30.0)
        profiles = await supabase.rpc("roll_up_profiles", {}, supabase.as_service(), timeout_seconds=30.0)
    return {"ok": True, "measured": measured, "profiles": profiles}
