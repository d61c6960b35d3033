"""One stateless completion: the caller's conversation and tools go to a model as they are, in one call."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from functions.chat.completion_request import CompletionRequest
from functions.chat.tool_loop import LoopEvent
from shared import ledger
from shared.errors import ParleyError, ProviderRefused, Unprocessable
from shared.events import Finish, Reasoning, Text
from shared.gateway import ModelSession
from shared.messages import ToolCall
from shared.routes import Route, RouteChosen
from shared.turns import Status, Turn, TurnResult

_LACKING = {"supports_tools": ("use tools", "tools"), "supports_vision": ("look at images", "messages")}
_WRONG_REQUEST = {None, 400, 413, 422}  # None: our own side of a provider found it wrong


class CompletionRun:
    """The account of one completion. Models of the route that cannot see or use tools are passed over."""

    def __init__(self, turn: Turn, asked: CompletionRequest, arrived: float) -> None:
        self.error: ParleyError | None = None
        self._able = tuple(route for route in turn.routes if _missing(route, asked) is None)
        self._turn, self._asked, self._arrived = turn, asked, arrived
        before_retry = functools.partial(ledger.extend, turn)
        self._exchange = ModelSession(self._able or turn.routes, asked.options(), arrived, before_retry)
        self._words: list[str] = []
        self._reason: str | None = None
        self._ttft_ms: int | None = None

    async def events(self) -> AsyncGenerator[LoopEvent, None]:
        """The model's answer. Raises Unprocessable for what no model can do, and what the gateway raises."""
        missing = None if self._able else _missing(self._turn.routes[0], self._asked)
        if missing is not None:
            raise Unprocessable(f"This model cannot {missing[0]}.", param=missing[1])
        try:
            async with aclosing(self._exchange.events(self._asked.conversation)) as events:
                async for event in events:
                    if isinstance(event, RouteChosen):  # models that were passed over count as fallbacks, too
                        yield replace(event, fallbacks=self._turn.routes.index(event.route))
                    else:
                        yield event
        except ProviderRefused as refusal:
            if refusal.upstream_status in _WRONG_REQUEST:
                refusal.status = 422  # the conversation is the caller's own, and so is what is wrong with it
            raise

    def see(self, event: LoopEvent) -> None:
        """Takes note of one event."""
        match event:
            case Text(text):
                self._words.append(text)
            case Finish():
                self._reason = event.reason
            case _:
                pass
        if self._ttft_ms is None and isinstance(event, Text | Reasoning | ToolCall):
            self._ttft_ms = self._elapsed_ms()

    def entry(self) -> TurnResult:
        """How it stands now; without an end and without an error the caller hung up."""
        exchange = self._exchange
        return TurnResult(
            turn=self._turn,
            status=self._status(),
            route=exchange.route,
            content="".join(self._words),
            usage=exchange.usage,
            duration_ms=self._elapsed_ms(),
            ttft_ms=self._ttft_ms,
            finish_reason=self._reason,
            error_code=self.error.code if self.error else None,
            attempts=tuple(exchange.attempts),
        )

    def _status(self) -> Status:
        if self.error is not None:
            return "partial" if self._ttft_ms is not None else "failed"
        return "cancelled" if self._reason is None else "completed"

    def _elapsed_ms(self) -> int:
        return round((time.monotonic() - self._arrived) * 1000)


def _missing(route: Route, asked: CompletionRequest) -> tuple[str, str] | None:
    """What the route's model cannot do of what is asked, and where that stands; None when it can do all.

    A model that knows no schema is told of it in words instead.
    """
    lacking = (_LACKING[need] for need in asked.needs if need in _LACKING and not route.capabilities.get(need))
    return next(lacking, None)
