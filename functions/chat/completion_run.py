"""One stateless completion: one model call with the client's own conversation and tools."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from contextlib import aclosing

from functions.chat.completion_request import CompletionRequest
from functions.chat.openai_errors import openai_words
from shared import ledger
from shared.errors import Unprocessable
from shared.events import Finish, Refusal, Text
from shared.gateway import ModelSession
from shared.routes import Route
from shared.run_turn import RunEvent, TurnEnd
from shared.turns import Turn, TurnResult

_LACKING = {"supports_tools": ("use tools", "tools"), "supports_vision": ("look at images", "messages")}


class CompletionRun:
    """One completion. It skips routes whose model lacks an ability that the request needs: images or tools."""

    def __init__(self, turn: Turn, asked: CompletionRequest, arrived: float) -> None:
        self.turn, self.arrived = turn, arrived
        self._able = tuple(route for route in turn.routes if _missing(route, asked) is None)
        self._asked = asked
        before_retry = functools.partial(ledger.extend, turn)
        self._session = ModelSession(self._able or turn.routes, asked.options, arrived, before_retry)
        self._texts: list[str] = []
        self._reason: str | None = None

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """The model's answer. Raises Unprocessable when no model has the abilities, and what the gateway raises.

        The errors are in OpenAI's words.
        """
        missing = None if self._able else _missing(self.turn.routes[0], self._asked)
        with openai_words():
            if missing is not None:
                raise Unprocessable(f"This model cannot {missing[0]}.", param=missing[1])
            async with aclosing(self._session.events(self._asked.conversation)) as events:
                async for event in events:
                    self._observe(event)
                    yield event

    def _observe(self, event: RunEvent) -> None:
        match event:
            case Text(text) | Refusal(text):
                self._texts.append(text)
            case Finish():
                self._reason = event.reason
            case _:
                pass

    def result(self, end: TurnEnd) -> TurnResult:
        """The answer and its usage until now."""
        session = self._session
        return TurnResult(
            turn=self.turn,
            status=end.status(self._reason),
            route=session.route,
            content="".join(self._texts),
            usage=session.usage,
            duration_ms=end.duration_ms,
            ttft_ms=end.ttft_ms,
            finish_reason=self._reason,
            error_code=end.error_code,
            attempts=tuple(session.attempts),
        )


def _missing(route: Route, asked: CompletionRequest) -> tuple[str, str] | None:
    """The first ability that the route's model lacks, and the field that needs it; None when it lacks none.

    JSON schemas do not count: a model without that ability gets the schema as text.
    """
    lacking = (_LACKING[need] for need in asked.needs if need in _LACKING and not route.capabilities.get(need))
    return next(lacking, None)
