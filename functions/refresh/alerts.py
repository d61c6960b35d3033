"""Step `alerts`: thresholds that were crossed become rows, and rows become messages that a webhook has taken."""

from __future__ import annotations

import asyncio
import time
from datetime import date
from decimal import Decimal
from typing import Any

import aiohttp
from yarl import URL

from shared import http, supabase
from shared.config import settings

_MOST = 50
_POST_SECONDS = 5.0
_SECONDS = 60.0  # well below the five minutes for which the rows are ours; the rest is the next run's


async def run(*, is_dry_run: bool) -> dict[str, Any]:
    """The step's outcome: alerts raised, delivered and pending; ok when none that could be delivered was left.

    Without ALERT_WEBHOOK_URL rows are only kept. Raises NotConfigured, DatabaseUnavailable.
    """
    thresholds = {
        "daily_usd": _usd(settings().checked("DAILY_COST_THRESHOLD")),
        "monthly_usd": _usd(settings().checked("MONTHLY_COST_THRESHOLD")),
    }
    raised = 0 if is_dry_run else await _call("raise_cost_alerts", thresholds)
    url = _webhook()
    if url is None or is_dry_run:
        return {"ok": True, "raised": raised, "delivered": 0, "pending": await _call("settle_cost_alerts", {})}
    rows = await _call("claim_cost_alerts", {"max_rows": _MOST})
    taken: list[int] = []
    try:
        await _deliver(url, rows, taken)
    finally:
        untaken = [row["id"] for row in rows if row["id"] not in taken]
        pending = await _call("settle_cost_alerts", {"taken": taken, "untaken": untaken})
    return {"ok": not untaken, "raised": raised, "delivered": len(taken), "pending": pending}


async def _deliver(url: URL, rows: list[dict[str, Any]], taken: list[int]) -> None:
    """Adds to `taken` as it goes, so that an interruption forgets none."""
    deadline = time.monotonic() + _SECONDS
    for row in sorted(rows, key=lambda row: row["id"]):
        if time.monotonic() > deadline:
            return
        if await _is_taken(url, text_of(row)):
            taken.append(row["id"])


async def _is_taken(url: URL, text: str) -> bool:
    try:
        async with (
            asyncio.timeout(_POST_SECONDS),
            http.session().post(url, json={"text": text}, allow_redirects=False) as response,
        ):
            return 200 <= response.status < 300
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False  # not logged: an error of the client carries the URL, and that is a secret


def text_of(row: dict[str, Any]) -> str:
    """What crossed which threshold, in words: a row of cost_alerts as a message. Persons are told by id only."""
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
    """Without an exponent or trailing zeros."""
    return f"{Decimal(str(number)).quantize(Decimal('1e-9')):f}".rstrip("0").rstrip(".")


def _usd(text: str) -> str | None:
    """The amount as the database reads it; None when there is none."""
    amount = Decimal(text) if text else Decimal(0)
    return f"{amount:f}" if amount else None


def _webhook() -> URL | None:
    text = settings().checked("ALERT_WEBHOOK_URL")
    return URL(text) if text else None


async def _call(name: str, arguments: dict[str, Any]) -> Any:
    return await supabase.rpc(name, arguments, supabase.as_service(), timeout_seconds=15.0)
