"""The steps of a run, in the order in which they are taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from functions.refresh import alerts, models, retention, rollup, spool, sweep

Step = Callable[..., Awaitable[dict[str, Any]]]

STEPS: dict[str, Step] = {
    "models": models.run,
    "spool": spool.run,
    "sweep": sweep.run,
    "rollup": rollup.run,
    "retention": retention.run,
    "alerts": alerts.run,
}
