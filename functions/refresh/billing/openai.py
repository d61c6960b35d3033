"""OpenAI's bill: `GET /organization/costs` by line item and `GET /organization/usage/completions` by model."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from functions.refresh.billing.charges import Charge, Report, read_report
from shared.config import settings
from shared.provider_config import PROVIDERS

_CONFIG = PROVIDERS["openai"]
KEY = "OPENAI_ADMIN_KEY"


async def read(first: date, last: date) -> list[Charge]:
    """What was charged and used from `first` to before `last`. Raises ProviderError, and NotConfigured for the key."""
    url = settings().checked(_CONFIG.base_url_variable, _CONFIG.base_url).rstrip("/")
    headers = {"Authorization": f"Bearer {settings().key(KEY)}"}
    span = (
        ("start_time", str(_seconds(first))),
        ("end_time", str(_seconds(last))),
        ("bucket_width", "1d"),
        ("limit", "31"),
    )
    costs = Report("openai", f"{url}/organization/costs", headers, (*span, ("group_by", "line_item")), costs_of)
    usage = Report("openai", f"{url}/organization/usage/completions", headers, (*span, ("group_by", "model")), usage_of)
    return [*await read_report(costs), *await read_report(usage)]


def costs_of(bucket: Any) -> list[Charge]:
    """The charges of one day's bucket. Raises ValueError for another currency than US dollars."""
    return [
        Charge(_day(bucket), _model(result.get("line_item")), cost_usd=_usd(result["amount"]))
        for result in bucket["results"]
    ]


def usage_of(bucket: Any) -> list[Charge]:
    """The tokens of one day's bucket; cached ones are part of the input."""
    return [
        Charge(
            _day(bucket),
            result.get("model") or "",
            input_tokens=int(result["input_tokens"]),
            cached_tokens=int(result.get("input_cached_tokens") or 0),
            output_tokens=int(result["output_tokens"]),
        )
        for result in bucket["results"]
    ]


def _usd(amount: Any) -> Decimal:
    if amount["currency"].lower() != "usd":
        raise ValueError("the bill is not in US dollars")
    usd = Decimal(str(amount["value"]))
    if not usd.is_finite():
        raise ValueError("the bill has no amount")
    return usd


def _model(line_item: str | None) -> str:
    """The model in a line item such as `gpt-4o-2024-08-06, cached input`; empty when it names another service."""
    name = (line_item or "").partition(", ")[0].strip()
    return "" if " " in name else name


def _day(bucket: Any) -> date:
    return datetime.fromtimestamp(bucket["start_time"], UTC).date()


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
