"""The steps of a run, in the order in which they are taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from functions.refresh import alerts, retention, roll_up, spool, sweep, sync_catalogue

Step = Callable[..., Awaitable[dict[str, Any]]]

STEPS: dict[str, Step] = {
    "models": sync_catalogue.run,
    "spool": spool.run,
    "sweep": sweep.run,
    "rollup": roll_up.run,
    "retention": retention.run,
    "alerts": alerts.run,
}
