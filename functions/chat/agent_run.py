"""The run of an agent: chooses the agent, runs its tool loop and gives the result."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from functions.chat.agents import AGENTS
from functions.chat.domains import Classification, Domain, asked_of_model, max_classification_tokens
from functions.chat.request import ChatRequest
from functions.chat.tool_loop import ToolLoop
from shared import ledger
from shared.config import settings
from shared.errors import ParleyError
from shared.gateway import ModelSession
from shared.log import log
from shared.model_request import Options
from shared.routes import Attempt
from shared.run_turn import RunEvent, TurnEnd
from shared.structured import schema_of
from shared.turns import Turn, TurnResult
from shared.usage import total

CLASSIFYING_SECONDS = 3.0  # the choice of an agent must not take longer than an answer
CLASSIFYING_TOKENS = 200


class AgentRun:
    """The turn of an agent: the tool loop, after a model has chosen the agent where nothing else could."""

    def __init__(self, turn: Turn, asked: ChatRequest, arrived: float) -> None:
        self.turn, self.arrived = turn, arrived
        self._session = ModelSession(turn.routes, Options(), arrived, functools.partial(ledger.extend, turn))
        self._asked = asked
        self._domain: Domain = asked.domain
        self._loop = self._tool_loop(turn.agent)
        self._classifying: list[Attempt] = []

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """The events of the chosen agent's tool loop."""
        if self.turn.is_agent_guessed and not self._domain.is_sure and settings().is_on("CLASSIFY_WITH_MODEL"):
            await self._classify_with_model()
            self._loop = self._tool_loop(self._domain.name)
        async with aclosing(self._loop.events()) as events:
            async for event in events:
                yield event

    def _tool_loop(self, agent: str | None) -> ToolLoop:
        """The loop that begins with this agent; with the one for the question when there is none of that name."""
        first = AGENTS.get(agent or "") or AGENTS[self._domain.name]
        return ToolLoop(self.turn, self._session, first, self._asked.question, self._asked.temperature)

    async def _classify_with_model(self) -> None:
        """Asks a model for the domain. If the budget does not cover the call, or it fails, the rules' domain stays."""
        route = replace(self.turn.routes[0], max_output_tokens=CLASSIFYING_TOKENS)
        session = ModelSession((route,), Options(output_schema=schema_of(Classification)), self.arrived)
        try:
            await ledger.extend(self.turn, max_classification_tokens(self._asked.question))
            async with asyncio.timeout(CLASSIFYING_SECONDS):
                self._domain = await asked_of_model(session, self._asked.question)
        except (ParleyError, TimeoutError) as error:
            log("unclassified", error=type(error).__name__)
        finally:
            self._classifying = session.attempts

    def result(self, end: TurnEnd) -> TurnResult:
        """The answer, its agents, tools and usage until now."""
        loop, session = self._loop, self._session
        attempts = (*self._classifying, *session.attempts)
        return TurnResult(
            turn=replace(self.turn, history_left_out=self.turn.history_left_out + loop.dropped),
            status=end.status(loop.reason),
            route=session.route,
            content=loop.content,
            usage=total(attempt.usage for attempt in attempts if attempt.usage),
            duration_ms=end.duration_ms,
            ttft_ms=end.ttft_ms,
            finish_reason=loop.reason,
            error_code=end.error_code,
            attempts=attempts,
            agent_type=loop.agent.name,
            agents=tuple(loop.agents),
            tools_used=tuple(loop.toolbox.used),
            parts=loop.parts,
            domain=self._domain.name,
            domain_confidence=self._domain.confidence,
            skill=self.turn.profile.skill_level,
            escalation={"hand_offs": loop.hand_offs} if loop.hand_offs else None,
            handoffs=len(loop.hand_offs),
            context_tokens=_context_tokens(session.attempts),
        )


def _context_tokens(attempts: list[Attempt]) -> int | None:
    """The provider's own count of the last prompt; None when it did not count."""
    usage = attempts[-1].usage if attempts else None
    return usage.input_tokens if usage and usage.source != "estimate" else None
