"""One stateless answer: one model call with the client's own conversation and tools."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import takewhile

from functions.chat.protocols.stateless import StatelessRequest
from functions.chat.ui_parts import call_part, step_parts
from shared import ledger
from shared.errors import Unprocessable
from shared.events import Finish, Refusal, Text
from shared.gateway import ModelSession
from shared.growing_text import GrowingText
from shared.messages import Message, ToolCall
from shared.routes import Route
from shared.run_turn import RunEvent, TurnEnd
from shared.turns import Turn, TurnResult

_LACKING = {
    "supports_tools": ("use tools", "tools"),
    "supports_vision": ("look at images", "messages"),
    "supports_files": ("read PDFs", "messages"),
}


class StatelessRun:
    """One answer. It skips routes whose model lacks an ability that the request needs: images or tools."""

    def __init__(self, turn: Turn, asked: StatelessRequest, arrived: float) -> None:
        self.turn, self.arrived = turn, arrived
        self._able = tuple(route for route in turn.routes if _missing(route, asked) is None)
        self._asked = asked
        before_retry = functools.partial(ledger.extend, turn)
        self._session = ModelSession(self._able or turn.routes, asked.options, arrived, before_retry)
        self._text = GrowingText()
        self._calls: list[ToolCall] = []
        self._reason: str | None = None

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """The model's answer. Raises Unprocessable when no model has the abilities, and what the gateway raises."""
        missing = None if self._able else _missing(self.turn.routes[0], self._asked)
        if missing is not None:
            raise Unprocessable(f"This model cannot {missing[0]}.", param=missing[1])
        async with aclosing(self._session.events(self._conversation())) as events:
            async for event in events:
                self._observe(event)
                yield event

    def _conversation(self) -> tuple[Message, ...]:
        """The client's messages; those of a stored conversation come between the instructions and the rest."""
        own, history = self._asked.conversation, list(self.turn.history)
        if not history:
            return own
        if self._asked.replaces_last and history[-1].role == "assistant":
            del history[-1]
        first = len([*takewhile(lambda message: message.role == "system", own)])
        return (*own[:first], *history, *own[first:])

    def _observe(self, event: RunEvent) -> None:
        match event:
            case Text(text) | Refusal(text):
                self._text.add(text)
            case ToolCall():
                self._calls.append(event)
            case Finish():
                self._reason = event.reason
            case _:
                pass

    def result(self, end: TurnEnd) -> TurnResult:
        """The answer and its usage until now."""
        session, text = self._session, self._text.text()
        has_parts = self._asked.is_stored and bool(self._calls)
        return TurnResult(
            turn=self.turn,
            status=end.status(self._reason),
            route=session.route,
            content=text,
            usage=session.usage,
            duration_ms=end.duration_ms,
            ttft_ms=end.ttft_ms,
            finish_reason=self._reason,
            error_code=end.error_code,
            attempts=tuple(session.attempts),
            parts=(*step_parts(text), *map(call_part, self._calls)) if has_parts else None,
        )


def _missing(route: Route, asked: StatelessRequest) -> tuple[str, str] | None:
    """The first ability that the route's model lacks, and the field that needs it; None when it lacks none.

    JSON schemas do not count: a model without that ability gets the schema as text.
    """
    lacking = (_LACKING[need] for need in asked.needs if need in _LACKING and not route.capabilities.get(need))
    return next(lacking, None)
