"""Anthropic's bill: `GET /v1/organizations/cost_report` and `/v1/organizations/usage_report/messages`."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from functions.refresh.billing.charges import Charge, Report, read_report
from shared.config import settings
from shared.provider_config import PROVIDERS

_CONFIG = PROVIDERS["anthropic"]
_VERSION = "2023-06-01"  # the admin API has versions of its own
KEY = "ANTHROPIC_ADMIN_KEY"


async def read(first: date, last: date) -> list[Charge]:
    """What was charged and used from `first` to before `last`. Raises ProviderError, and NotConfigured for the key."""
    url = settings().checked(_CONFIG.base_url_variable, _CONFIG.base_url).rstrip("/") + "/v1/organizations"
    headers = {"x-api-key": settings().key(KEY), "anthropic-version": _VERSION}
    span = (
        ("starting_at", f"{first}T00:00:00Z"),
        ("ending_at", f"{last}T00:00:00Z"),
        ("bucket_width", "1d"),
        ("limit", "31"),
    )
    costs = Report("anthropic", f"{url}/cost_report", headers, (*span, ("group_by[]", "description")), costs_of)
    usage = Report("anthropic", f"{url}/usage_report/messages", headers, (*span, ("group_by[]", "model")), usage_of)
    return [*await read_report(costs), *await read_report(usage)]


def costs_of(bucket: Any) -> list[Charge]:
    """The charges of one day's bucket, whose amounts are in cents. Raises ValueError for another currency."""
    return [Charge(_day(bucket), result.get("model") or "", cost_usd=_usd(result)) for result in bucket["results"]]


def usage_of(bucket: Any) -> list[Charge]:
    """The tokens of one day's bucket; input is what was not cached, what was read from a cache and written to one."""
    found = []
    for result in bucket["results"]:
        written = sum(int(value) for value in (result.get("cache_creation") or {}).values())
        cached = int(result.get("cache_read_input_tokens") or 0)
        found.append(
            Charge(
                _day(bucket),
                result.get("model") or "",
                input_tokens=int(result["uncached_input_tokens"]) + cached + written,
                cached_tokens=cached,
                output_tokens=int(result["output_tokens"]),
            )
        )
    return found


def _usd(result: Any) -> Decimal:
    if result["currency"].upper() != "USD":
        raise ValueError("the bill is not in US dollars")
    cents = Decimal(str(result["amount"]))
    if not cents.is_finite():
        raise ValueError("the bill has no amount")
    return cents / 100


def _day(bucket: Any) -> date:
    return date.fromisoformat(bucket["starting_at"][:10])
