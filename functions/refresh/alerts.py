"""Step `alerts`: writes a row for each crossed threshold and each recovery, and posts the rows to the webhook."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from functions.refresh.step import StepContext, StepOutcome
from functions.refresh.webhook import Webhook, configured_webhook
from shared import supabase
from shared.config import settings

_MAX_ROWS = 50
_SECONDS = 60.0  # well below the five minutes of a claim; the next run delivers the rest


async def run(context: StepContext) -> StepOutcome:
    """The outcome: counts of raised, recovered, delivered and pending alerts; ok when every claimed row was accepted.

    Without ALERT_WEBHOOK_URL the rows stay pending. Raises NotConfigured, DatabaseUnavailable.
    """
    raised, recovered = await _find_changes(is_dry_run=context.is_dry_run)
    counts = {"raised": raised, "recovered": recovered}
    webhook = configured_webhook()
    if webhook is None or context.is_dry_run:
        pending = await _call("settle_cost_alerts", {})
        return StepOutcome(details=counts | {"delivered": 0, "pending": pending})
    rows = await _call("claim_cost_alerts", {"max_rows": _MAX_ROWS})
    delivered: list[int] = []
    try:
        await _deliver(webhook, rows, delivered)
    finally:
        failed = [row["id"] for row in rows if row["id"] not in delivered]
        pending = await _call("settle_cost_alerts", {"taken": delivered, "untaken": failed})
    return StepOutcome(not failed, counts | {"delivered": len(delivered), "pending": pending})


async def _find_changes(*, is_dry_run: bool) -> tuple[int, int]:
    """The numbers of new alerts and of new recoveries; none in a dry run."""
    spending = {
        "daily_usd": _usd(settings().checked("DAILY_COST_THRESHOLD")),
        "monthly_usd": _usd(settings().checked("MONTHLY_COST_THRESHOLD")),
    }
    service: dict[str, Any] = {
        "error_percent": int(settings().checked("ALERT_ERROR_PERCENT", "20")),
        "first_content_seconds": int(settings().checked("ALERT_LATENCY_SECONDS", "0")),
        "refresh_hours": int(settings().checked("ALERT_REFRESH_HOURS", "26")),
        "anomaly_usd": _usd(settings().checked("ALERT_ANOMALY_USD", "1")),
        "is_forecast": True,
    }
    if is_dry_run:
        return 0, 0
    raised = await _call("raise_cost_alerts", spending) + await _call("raise_service_alerts", service)
    return raised, await _call("recover_alerts", spending | service)


async def _deliver(webhook: Webhook, rows: list[dict[str, Any]], delivered: list[int]) -> None:
    """Appends each delivered id at once, so that a cancelled step still settles the delivered rows."""
    deadline = time.monotonic() + _SECONDS
    for row in sorted(rows, key=lambda row: row["id"]):
        if time.monotonic() > deadline:
            return
        if await webhook.is_accepted(row):
            delivered.append(row["id"])


def _usd(text: str) -> str | None:
    """The amount without an exponent; None when it is unset or zero."""
    amount = Decimal(text) if text else Decimal(0)
    return f"{amount:f}" if amount else None


async def _call(name: str, arguments: dict[str, Any]) -> Any:
    return await supabase.rpc(name, arguments, supabase.as_service(), timeout_seconds=15.0)
