"""The stored answer for a repeated idempotency key: no model call, no cost."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from shared.errors import BY_CODE, ProviderError
from shared.events import Text, Usage
from shared.routes import RouteChosen
from shared.run_turn import Failure, TurnEvent
from shared.turns import Receipt, Turn, TurnResult


async def replayed(turn: Turn) -> AsyncGenerator[TurnEvent, None]:
    """The stored events of the first attempt, and its receipt."""
    stored: dict[str, Any] = dict(turn.replay or {})
    row: dict[str, Any] = stored.get("log") or {}
    message: dict[str, Any] = stored.get("message") or {}
    content = message.get("content") or row.get("response") or ""
    route = next((r for r in turn.routes if r.identifier == row.get("model_identifier")), turn.routes[0])
    yield RouteChosen(route)
    if content:
        yield Text(content)
    entry = TurnResult(
        turn=turn,
        status=row.get("status", "completed"),
        route=route,
        content=content,
        usage=Usage(
            input_tokens=row.get("input_tokens") or 0,
            output_tokens=row.get("output_tokens") or 0,
            cached_tokens=row.get("cached_tokens") or 0,
            reasoning_tokens=row.get("reasoning_tokens") or 0,
            source=row.get("usage_source") or "provider",
        ),
        duration_ms=row.get("duration_ms") or 0,
        ttft_ms=row.get("ttft_ms"),
        finish_reason=row.get("finish_reason"),
        error_code=row.get("error_code"),
        agent_type=row.get("agent_type"),
        agents=_agents_of(row),
        tools_used=tuple(row.get("tools_used") or ()),
    )
    if code := row.get("error_code"):
        yield Failure(BY_CODE.get(code, ProviderError)("The first attempt of this turn failed."))
    yield Receipt(entry, row.get("cost_usd"), logged=True, message_id=message.get("id"))


def _agents_of(row: dict[str, Any]) -> tuple[str, ...]:
    """The agents of the turn in order, as far as the row names them."""
    hand_offs = (row.get("escalation_metadata") or {}).get("hand_offs") or ()
    last = row.get("agent_type")
    return (*(each["from"] for each in hand_offs), last) if last else ()
