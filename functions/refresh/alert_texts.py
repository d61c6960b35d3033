"""Alerts as messages for people."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any


def text_of(row: dict[str, Any]) -> str:
    """A row of cost_alerts as a message. It names a user by id only."""
    sentence = _sentence(row)
    return f"Parley: recovered, this is over: {sentence}" if row.get("is_recovery") else f"Parley: {sentence}"


def _sentence(row: dict[str, Any]) -> str:
    kind, _, rest = row["threshold"].partition(" ")
    amount, cap = _plain(row["amount"]), _plain(row["cap"])
    match kind:
        case "errors":
            return f"{amount}% of the turns with {rest.partition(' ')[2]} failed in an hour, the threshold is {cap}%."
        case "latency":
            model = rest.split(" ", 2)[2]
            return f"{model} takes {amount} s to its first content (95th percentile), the threshold is {cap} s."
        case "refresh":
            return f"refresh last succeeded {amount} hours ago, the threshold is {cap} hours."
        case "anomaly":
            return f"an hour of {_scope(row)} cost {amount} USD on {row['period_start']} (UTC), the usual is {cap} USD."
        case "forecast":
            return f"{_scope(row)} will reach the cap {cap} USD of the {row['period']}: the forecast is {amount} USD."
        case _:
            return _usage_sentence(row, kind, rest)


def _usage_sentence(row: dict[str, Any], kind: str, threshold: str) -> str:
    who = _scope(row)
    what = f"{_plain(row['amount'])} requests" if kind == "requests" else f"{_plain(row['amount'])} USD"
    start = date.fromisoformat(row["period_start"])
    when = f"{start:%Y-%m-%d}" if row["period"] == "day" else f"{start:%Y-%m}"
    of = (
        f"the threshold of {threshold}" if threshold.endswith("USD") else f"{threshold} of the cap {_plain(row['cap'])}"
    )
    return f"{who} used {what} in the {row['period']} {when} (UTC), {of}."


def _scope(row: dict[str, Any]) -> str:
    return "everyone together" if row["scope"] == "global" else f"user {row['scope']}"


def _plain(number: float) -> str:
    """The number without an exponent or trailing zeros."""
    return f"{Decimal(str(number)).quantize(Decimal('1e-9')):f}".rstrip("0").rstrip(".")
