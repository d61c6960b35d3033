"""Step `alerts`: writes a row for each crossed threshold, and posts the rows to the operator's webhook."""

from __future__ import annotations

import asyncio
import time
from datetime import date
from decimal import Decimal
from typing import Any

import aiohttp
from yarl import URL

from functions.refresh.step import StepContext, StepOutcome
from shared import http, supabase
from shared.config import settings

_MAX_ROWS = 50
_POST_SECONDS = 5.0
_SECONDS = 60.0  # well below the five minutes of a claim; the next run delivers the rest


async def run(context: StepContext) -> StepOutcome:
    """The outcome: counts of raised, delivered and pending alerts; ok when the webhook accepted every claimed row.

    Without ALERT_WEBHOOK_URL the rows stay pending. Raises NotConfigured, DatabaseUnavailable.
    """
    thresholds = {
        "daily_usd": _usd(settings().checked("DAILY_COST_THRESHOLD")),
        "monthly_usd": _usd(settings().checked("MONTHLY_COST_THRESHOLD")),
    }
    raised = 0 if context.is_dry_run else await _call("raise_cost_alerts", thresholds)
    url = _webhook()
    if url is None or context.is_dry_run:
        pending = await _call("settle_cost_alerts", {})
        return StepOutcome(details={"raised": raised, "delivered": 0, "pending": pending})
    rows = await _call("claim_cost_alerts", {"max_rows": _MAX_ROWS})
    delivered: list[int] = []
    try:
        await _deliver(url, rows, delivered)
    finally:
        failed = [row["id"] for row in rows if row["id"] not in delivered]
        pending = await _call("settle_cost_alerts", {"taken": delivered, "untaken": failed})
    return StepOutcome(not failed, {"raised": raised, "delivered": len(delivered), "pending": pending})


async def _deliver(url: URL, rows: list[dict[str, Any]], delivered: list[int]) -> None:
    """Appends each delivered id at once, so that a cancelled step still settles the delivered rows."""
    deadline = time.monotonic() + _SECONDS
    for row in sorted(rows, key=lambda row: row["id"]):
        if time.monotonic() > deadline:
            return
        if await _is_accepted(url, text_of(row)):
            delivered.append(row["id"])


async def _is_accepted(url: URL, text: str) -> bool:
    try:
        async with (
            asyncio.timeout(_POST_SECONDS),
            http.session().post(url, json={"text": text}, allow_redirects=False) as response,
        ):
            return 200 <= response.status < 300
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False  # not logged: aiohttp's errors contain the URL, which is a secret


def text_of(row: dict[str, Any]) -> str:
    """A row of cost_alerts as a message. It names a user by id only."""
    kind, _, threshold = row["threshold"].partition(" ")
    who = "everyone together" if row["scope"] == "global" else f"person {row['scope']}"
    what = f"{_plain(row['amount'])} requests" if kind == "requests" else f"{_plain(row['amount'])} USD"
    start = date.fromisoformat(row["period_start"])
    when = f"{start:%Y-%m-%d}" if row["period"] == "day" else f"{start:%Y-%m}"
    of = (
        f"the threshold of {threshold}" if threshold.endswith("USD") else f"{threshold} of the cap {_plain(row['cap'])}"
    )
    return f"Parley: {who} used {what} in the {row['period']} {when} (UTC), {of}."


def _plain(number: float) -> str:
    """The number without an exponent or trailing zeros."""
    return f"{Decimal(str(number)).quantize(Decimal('1e-9')):f}".rstrip("0").rstrip(".")


def _usd(text: str) -> str | None:
    """The amount without an exponent; None when it is unset or zero."""
    amount = Decimal(text) if text else Decimal(0)
    return f"{amount:f}" if amount else None


def _webhook() -> URL | None:
    text = settings().checked("ALERT_WEBHOOK_URL")
    return URL(text) if text else None


async def _call(name: str, arguments: dict[str, Any]) -> Any:
    return await supabase.rpc(name, arguments, supabase.as_service(), timeout_seconds=15.0)
