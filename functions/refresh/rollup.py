"""Step `rollup`: what can be learned of people's own turns, for those who let it be."""

from __future__ import annotations

from typing import Any

from shared import supabase


async def run(*, is_dry_run: bool) -> dict[str, Any]:
    """The step's outcome; `profiles` counts those that changed. Raises DatabaseUnavailable."""
    profiles = 0
    if not is_dry_run:
        profiles = await supabase.rpc("roll_up_profiles", {}, supabase.as_service(), timeout_seconds=30.0)
    return {"ok": True, "profiles": profiles}
