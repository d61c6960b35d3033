"""GET /metrics: the deployment's numbers for Prometheus, in its text format."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from shared import supabase
from shared.auth import bearer_token
from shared.config import settings
from shared.errors import NotFound, Unauthenticated

_MIN_SECRET_LENGTH = 32
_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LABELS = ("provider", "model", "agent", "endpoint")
_COUNTERS = (
    ("parley_turns_total", "turns", "Turns that ended."),
    ("parley_turn_errors_total", "errors", "Turns that failed because of the model or its provider."),
    ("parley_unpriced_turns_total", "unpriced_turns", "Turns whose cost is unknown."),
    ("parley_cost_usd_total", "cost_usd", "US dollars of turns with a known cost."),
)
_TOKENS = {
    "input": "input_tokens",
    "cached_input": "cached_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
}
_SUMMARIES = (
    ("parley_turn_duration_seconds", "duration_ms", "turns", "From the request to the end of the answer."),
    ("parley_first_content_seconds", "ttft_ms", "ttft_count", "From the request to the first content."),
)
_GAUGES = (
    ("parley_open_turns", "open_turns", "Turns that were admitted and have not ended."),
    ("parley_open_circuits", "open_circuits", "Models, nodes and providers that are not called, because they fail."),
    ("parley_pending_alerts", "pending_alerts", "Alerts that no webhook has accepted."),
    ("parley_last_refresh_timestamp_seconds", "last_refresh", "When a refresh last succeeded, since 1970."),
)
_BUDGETS = (
    ("parley_spent_usd", "spent_usd", "US dollars that all users spent in the UTC day or month."),
    ("parley_reserved_usd", "reserved_usd", "US dollars that running turns reserve."),
    ("parley_cap_usd", "cap_usd", "The cap of all users together."),
)


async def show_metrics(request: Request) -> Response:
    """The metrics, for the holder of METRICS_SECRET. 404 without that variable, 401 with another token."""
    secret = settings().get("METRICS_SECRET")
    if len(secret) < _MIN_SECRET_LENGTH:
        raise NotFound("There is nothing at this path.")
    if not hmac.compare_digest(bearer_token(request).encode(), secret.encode()):
        raise Unauthenticated("This is not the secret of the metrics.")
    found = await supabase.rpc("service_metrics", {}, supabase.as_service())
    return Response(exposition(found), headers={"Cache-Control": "no-store"}, media_type=_MEDIA_TYPE)


def exposition(found: Mapping[str, Any]) -> str:
    """The numbers of `service_metrics()` in Prometheus's text format. A number that is null has no sample.

    The counters begin at zero in each UTC month, which Prometheus takes for a restart.
    """
    return "\n".join([*_usage_lines(found["usage"]), *_state_lines(found)]) + "\n"


def _usage_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    labels = [{name: row[name] for name in _LABELS} for row in rows]
    for name, column, text in _COUNTERS:
        yield from _head(name, "counter", text)
        for row, own in zip(rows, labels, strict=True):
            yield from _sample(name, own, row[column])
    yield from _head("parley_tokens_total", "counter", "Tokens; each one has one kind.")
    for row, own in zip(rows, labels, strict=True):
        for kind, column in _TOKENS.items():
            yield from _sample("parley_tokens_total", own | {"kind": kind}, row[column])
    for name, milliseconds, count, text in _SUMMARIES:
        yield from _head(name, "summary", text)
        for row, own in zip(rows, labels, strict=True):
            yield from _sample(f"{name}_sum", own, row[milliseconds] / 1000)
            yield from _sample(f"{name}_count", own, row[count])


def _state_lines(found: Mapping[str, Any]) -> Iterator[str]:
    for name, column, text in _BUDGETS:
        yield from _head(name, "gauge", text)
        for row in found["budgets"]:
            yield from _sample(name, {"period": row["period"]}, row[column])
    for name, key, text in _GAUGES:
        yield from _head(name, "gauge", text)
        yield from _sample(name, {}, found[key])


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _sample(name: str, labels: Mapping[str, str], value: float | None) -> Iterator[str]:
    if value is not None:
        pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{{{pairs}}} {value}" if pairs else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
