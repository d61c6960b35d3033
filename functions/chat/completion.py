"""One stateless completion: the caller's conversation and tools go to a model as they are, in one call."""

from __future__ import annotations

import functools
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from functions.chat.completion_request import CompletionRequest
from functions.chat.rounds import RoundEvent
from shared import ledger
from shared.errors import ParleyError, Unprocessable
from shared.events import Finish, Reasoning, Route, Text, ToolCall
from shared.gateway import Exchange
from shared.ledger import Entry, Status, Turn


class Completion:
    """The account of one completion. Models of the route that cannot see or use tools are not asked for it."""

    def __init__(self, turn: Turn, asked: CompletionRequest, arrived: float) -> None:
        self.error: ParleyError | None = None
        able = tuple(route for route in turn.routes if _missing(route, asked) is None)
        self._turn, self._asked, self._arrived = turn, asked, arrived
        self._exchange = Exchange(able or turn.routes, asked.options(), arrived, functools.partial(ledger.extend, turn))
        self._words: list[str] = []
        self._tools: list[str] = []
        self._reason: str | None = None
        self._ttft_ms: int | None = None

    async def events(self) -> AsyncGenerator[RoundEvent, None]:
        """The model's answer. Raises Unprocessable for what the model cannot do, and what the gateway raises."""
        missing = _missing(self._turn.routes[0], self._asked)
        if missing is not None:
            raise Unprocessable(f"This model cannot {missing[0]}.", param=missing[1])
        async with aclosing(self._exchange.events(self._asked.conversation)) as events:
            async for event in events:
                yield event

    def see(self, event: RoundEvent) -> None:
        """Takes note of one event."""
        match event:
            case Text(text):
                self._words.append(text)
            case ToolCall():
                self._tools.append(event.name)
            case Finish():
                self._reason = event.reason
            case _:
                pass
        if self._ttft_ms is None and isinstance(event, Text | Reasoning | ToolCall):
            self._ttft_ms = self._elapsed_ms()

    def entry(self) -> Entry:
        """How it stands now; without an end and without an error the caller hung up."""
        exchange = self._exchange
        return Entry(
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
    """What the route's model cannot do of what is asked, and where that stands; None when it can do all."""
    if asked.tools and not route.capabilities.get("supports_tools"):
        return "use tools", "tools"
    if not route.capabilities.get("supports_vision") and any(message.images for message in asked.conversation):
        return "look at images", "messages"
    return None
