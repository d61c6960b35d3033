"""Step `export`: writes training data and finished days of the log to EXPORT_URL."""

from __future__ import annotations

from functions.refresh import ledger_lake, training_export
from functions.refresh.step import StepContext, StepOutcome
from shared.config import settings
from shared.errors import ParleyError


async def run(context: StepContext) -> StepOutcome:
    """The outcome of the training data with the counts of the `ledger`; nothing without EXPORT_URL.

    When one of the two fails, the other is still written. Raises what the training data raises.
    """
    if not settings().get("EXPORT_URL") or context.is_dry_run:
        return await training_export.run(context)
    settings().checked("EXPORT_URL")
    ledger: dict[str, int | str]
    try:
        ledger, is_ok = {**await ledger_lake.write_days()}, True
    except ParleyError as error:
        ledger, is_ok = {"error": error.code, "message": error.message}, False
    outcome = await training_export.run(context)
    return StepOutcome(ok=outcome.ok and is_ok, details=outcome.details | {"ledger": ledger})
