"""Step `rollup`: measures the models' recent turns, and updates the profiles of users who allow it."""

from __future__ import annotations

from functions.refresh.step import StepContext, StepOutcome
from shared import supabase


async def run(context: StepContext) -> StepOutcome:
    """The outcome: counts of measured models and changed profiles. Raises DatabaseUnavailable."""
    measured = profiles = 0
    if not context.is_dry_run:
        measured = await supabase.rpc("measure_models", {}, supabase.as_service(), timeout_seconds=30.0)
        profiles = await supabase.rpc("roll_up_profiles", {}, supabase.as_service(), timeout_seconds=30.0)
    return StepOutcome(details={"measured": measured, "profiles": profiles})
