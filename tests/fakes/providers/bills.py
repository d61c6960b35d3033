"""The reports of cost and usage of OpenAI's and Anthropic's organizations, two days a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from aiohttp import web

ADMIN_KEYS = {"openai": "admin-of-openai", "anthropic": "admin-of-anthropic"}
_PER_PAGE = 2


@dataclass(frozen=True, slots=True)
class Billed:
    """What one model used and cost on one UTC day. `item` is how the bill names it; without one the model's name."""

    day: date
    model: str | None
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    usd: str = "0"
    item: str | None = None


@dataclass
class Bills:
    """What a test puts on the bills, by dialect; `text` answers every request instead, with its status."""

    lines: dict[str, list[Billed]] = field(default_factory=dict)
    text: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def clear(self) -> None:
        """Empties all bills."""
        self.lines.clear()
        self.text.clear()
        self.asked.clear()

    def answering(self, dialect: str, path: str) -> Callable[[web.Request], Any]:
        """The handler of a report."""
        shape = _SHAPES[path]

        async def answer(request: web.Request) -> web.Response:
            self.asked.append((path, dict(request.query)))
            if dialect in self.text:
                status, text = self.text[dialect]
                return web.Response(text=text, status=status)
            if ADMIN_KEYS[dialect] not in (
                request.headers.get("x-api-key"),
                request.headers.get("authorization", "")[7:],
            ):
                return web.json_response({"error": {"message": "wrong key"}}, status=401)
            days = _days(dialect, request)
            start = int(request.query.get("page", "0"))
            found = [shape(day, [each for each in self.lines.get(dialect, ()) if each.day == day]) for day in days]
            more = start + _PER_PAGE < len(found)
            page = {"data": found[start : start + _PER_PAGE], "has_more": more}
            return web.json_response(page | {"next_page": str(start + _PER_PAGE) if more else None})

        return answer


def _days(dialect: str, request: web.Request) -> list[date]:
    """The days that have begun before the end of the span."""
    if dialect == "openai":
        first, last = (datetime.fromtimestamp(int(request.query[name]), UTC) for name in ("start_time", "end_time"))
    else:
        first, last = (datetime.fromisoformat(request.query[name]) for name in ("starting_at", "ending_at"))
    day, days = first.date(), []
    while datetime.combine(day, time(), UTC) < last:
        days.append(day)
        day += timedelta(days=1)
    return days


def _openai_bucket(day: date, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    start = int(datetime.combine(day, time(), UTC).timestamp())
    return {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": list(results)}


def _openai_costs(day: date, lines: Sequence[Billed]) -> dict[str, Any]:
    results = [
        {
            "object": "organization.costs.result",
            "amount": {"value": float(each.usd), "currency": "usd"},
            "line_item": each.item or each.model,
            "project_id": None,
        }
        for each in lines
    ]
    return _openai_bucket(day, results)


def _openai_usage(day: date, lines: Sequence[Billed]) -> dict[str, Any]:
    results = [
        {
            "object": "organization.usage.completions.result",
            "input_tokens": each.input_tokens,
            "output_tokens": each.output_tokens,
            "input_cached_tokens": each.cached_tokens,
            "num_model_requests": 1,
            "model": each.model,
            "batch": None,
        }
        for each in lines
        if each.input_tokens
    ]
    return _openai_bucket(day, results)


def _anthropic_bucket(day: date, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    after = day + timedelta(days=1)
    return {"starting_at": f"{day}T00:00:00Z", "ending_at": f"{after}T00:00:00Z", "results": list(results)}


def _anthropic_costs(day: date, lines: Sequence[Billed]) -> dict[str, Any]:
    results = [
        {
            "currency": "USD",
            "amount": str(float(each.usd) * 100),
            "workspace_id": None,
            "description": each.item or f"{each.model} Usage - Input Tokens",
            "cost_type": "tokens" if each.model else "web_search",
            "model": each.model,
            "token_type": "uncached_input_tokens" if each.model else None,
        }
        for each in lines
    ]
    return _anthropic_bucket(day, results)


def _anthropic_usage(day: date, lines: Sequence[Billed]) -> dict[str, Any]:
    results = [
        {
            "uncached_input_tokens": each.input_tokens - each.cached_tokens - 3,
            "cache_creation": {"ephemeral_1h_input_tokens": 1, "ephemeral_5m_input_tokens": 2},
            "cache_read_input_tokens": each.cached_tokens,
            "output_tokens": each.output_tokens,
            "server_tool_use": {"web_search_requests": 0},
            "model": each.model,
        }
        for each in lines
        if each.input_tokens
    ]
    return _anthropic_bucket(day, results)


_SHAPES = {
    "/organization/costs": _openai_costs,
    "/organization/usage/completions": _openai_usage,
    "/v1/organizations/cost_report": _anthropic_costs,
    "/v1/organizations/usage_report/messages": _anthropic_usage,
}
PATHS = {
    "openai": ("/organization/costs", "/organization/usage/completions"),
    "anthropic": ("/v1/organizations/cost_report", "/v1/organizations/usage_report/messages"),
}
