"""Step `limits`: sets the daily caps of users with an adaptive limit from their own use."""

from __future__ import annotations

from functions.refresh.step import StepContext, StepOutcome
from shared import supabase


async def run(context: StepContext) -> StepOutcome:
    """The outcome: the count of changed caps; of caps that would change in a dry run. Raises DatabaseUnavailable."""
    arguments = {"is_dry_run": context.is_dry_run}
    changed = await supabase.rpc("adapt_limits", arguments, supabase.as_service(), timeout_seconds=30.0)
    return StepOutcome(details={"changed": changed})
