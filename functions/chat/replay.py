"""The stored answer for a repeated idempotency key: no model call, no cost."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from shared.errors import BY_CODE, ProviderError
from shared.events import Text
from shared.log import bind_turn, log
from shared.routes import RouteChosen
from shared.run_turn import Failure, TurnEvent
from shared.turns import Receipt, Replay, Turn, TurnResult


async def replayed(turn: Turn, replay: Replay) -> AsyncGenerator[TurnEvent, None]:
    """The stored events of the first attempt, and its receipt; logs one line."""
    route = next((route for route in turn.routes if route.identifier == replay.identifier), turn.routes[0])
    bind_turn(turn.request_id, turn.turn_id)
    log("replay", status=replay.status, model=route.identifier, error=replay.error_code)
    yield RouteChosen(route)
    if replay.content:
        yield Text(replay.content)
    result = TurnResult(
        turn=turn,
        status=replay.status,
        route=route,
        content=replay.content,
        usage=replay.usage,
        duration_ms=replay.duration_ms,
        ttft_ms=replay.ttft_ms,
        finish_reason=replay.finish_reason,
        error_code=replay.error_code,
        agent_type=replay.agent_type,
        agents=replay.agents,
        tools_used=replay.tools_used,
    )
    if code := replay.error_code:
        yield Failure(BY_CODE.get(code, ProviderError)("The first attempt of this turn failed."))
    yield Receipt(result, replay.cost_usd, logged=True, message_id=replay.message_id)
