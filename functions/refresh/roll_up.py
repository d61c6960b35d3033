"""Step `rollup`: measures models, learns which agent follows which, and updates profiles."""

from __future__ import annotations

from functions.refresh.step import StepContext, StepOutcome
from shared import supabase


async def run(context: StepContext) -> StepOutcome:
    """The outcome: counts of measured models, changed profiles and learned next agents. Raises DatabaseUnavailable."""
    measured = profiles = agents = 0
    if not context.is_dry_run:
        measured = await supabase.rpc("measure_models", {}, supabase.as_service(), timeout_seconds=30.0)
        profiles = await supabase.rpc("roll_up_profiles", {}, supabase.as_service(), timeout_seconds=30.0)
        agents = await supabase.rpc("measure_next_agents", {}, supabase.as_service(), timeout_seconds=30.0)
    return StepOutcome(details={"measured": measured, "profiles": profiles, "agents": agents})
