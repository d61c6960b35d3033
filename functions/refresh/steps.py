"""The steps of a run, in the order in which they run."""

from __future__ import annotations

from functions.refresh import (
    adapt_limits,
    alerts,
    bills,
    export,
    judge,
    retention,
    roll_up,
    spool,
    sweep,
    sync_catalogue,
)
from functions.refresh.step import Step

STEPS = (
    Step("models", sync_catalogue.run),
    Step("spool", spool.run),
    Step("sweep", sweep.run),
    Step("rollup", roll_up.run),
    # Turns that are still in the spool need the rows that retention deletes.
    Step("retention", retention.run, after="spool", skipped="The spool was not drained."),
    Step("limits", adapt_limits.run),
    Step("alerts", alerts.run),
    Step("bills", bills.run),
    Step("judge", judge.run),
    Step("export", export.run),
)
NAMES = tuple(step.name for step in STEPS)
