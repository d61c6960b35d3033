"""One turn: history → model → tools → events, and at the end, however it ended, the booking."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from functions.chat.agents import AGENTS
from functions.chat.domains import Classification, Domain, asked_of_model, max_classification_tokens
from functions.chat.request import ChatRequest
from functions.chat.tool_loop import LoopEvent, NextStep, ToolLoop
from functions.chat.tools.calling import ToolResult
from shared import ledger
from shared.config import settings
from shared.errors import InternalError, NotConfigured, ParleyError
from shared.events import Reasoning, Text
from shared.gateway import ModelSession, Options
from shared.log import bind_turn, log
from shared.messages import ToolCall
from shared.routes import Attempt
from shared.structured import schema_of
from shared.turns import Receipt, Status, Turn, TurnResult
from shared.usage import total


@dataclass(frozen=True, slots=True)
class Failure:
    """The turn broke off; before any content it is an HTTP status, after it an error event."""

    error: ParleyError


CLASSIFYING_SECONDS = 3.0  # nobody waits longer for who answers than for the answer
CLASSIFYING_TOKENS = 200
TurnEvent = LoopEvent | Failure | Receipt

__all__ = ["Failure", "NextStep", "ToolResult", "TurnEvent", "run_agent_turn", "run_turn"]


class TurnRun(Protocol):
    """A turn as it goes: its events, and at any moment enough to book it. `error` is what it broke off with."""

    error: ParleyError | None

    def events(self) -> AsyncGenerator[LoopEvent, None]:
        """All that is said. Raises what the gateway raises."""
        ...

    def see(self, event: LoopEvent) -> None:
        """Takes note of one event."""
        ...

    def entry(self) -> TurnResult:
        """How the turn stands now."""
        ...


class AgentRun:
    """What has come of a turn so far: enough to book it at any moment."""

    def __init__(self, turn: Turn, asked: ChatRequest, arrived: float) -> None:
        self.exchange = ModelSession(turn.routes, Options(), arrived, functools.partial(ledger.extend, turn))
        self.rounds = ToolLoop(turn, self.exchange, asked.question, asked.temperature)
        self.error: ParleyError | None = None
        self._turn, self._asked, self._arrived = turn, asked, arrived
        self._domain: Domain = asked.domain
        self._classifying: list[Attempt] = []
        self._ttft_ms: int | None = None

    async def events(self) -> AsyncGenerator[LoopEvent, None]:
        """The chosen agent's rounds."""
        await self._choose_agent()
        async with aclosing(self.rounds.events()) as events:
            async for event in events:
                yield event

    async def _choose_agent(self) -> None:
        """The agent that begins: the one asked for, else the person's preferred one, else the one for the question."""
        wanted = self._asked.agent or (self._turn.profile or {}).get("preferred_agent") or "auto"
        if wanted == "auto" and not self._domain.is_sure and settings().is_on("CLASSIFY_WITH_MODEL"):
            await self._ask_model()
        self.rounds.agent = AGENTS.get(wanted) or AGENTS[self._domain.name]

    async def _ask_model(self) -> None:
        """A guess of the rules stands when there is no money for another call or no model answers."""
        route = replace(self._turn.routes[0], max_output_tokens=CLASSIFYING_TOKENS)
        exchange = ModelSession((route,), Options(output_schema=schema_of(Classification)), self._arrived)
        try:
            await ledger.extend(self._turn, max_classification_tokens(self._asked.question))
            async with asyncio.timeout(CLASSIFYING_SECONDS):
                self._domain = await asked_of_model(exchange, self._asked.question)
        except (ParleyError, TimeoutError) as error:
            log("unclassified", error=type(error).__name__)
        finally:
            self._classifying = exchange.attempts

    def see(self, event: LoopEvent) -> None:
        """Takes note of one event."""
        if self._ttft_ms is None and isinstance(event, Text | Reasoning | ToolCall):
            self._ttft_ms = self._elapsed_ms()

    def entry(self) -> TurnResult:
        """How the turn stands now; without an end of the rounds and without an error the caller hung up."""
        rounds = self.rounds
        attempts = (*self._classifying, *self.exchange.attempts)
        return TurnResult(
            turn=replace(self._turn, history_left_out=self._turn.history_left_out + rounds.dropped),
            status=self._status(),
            route=self.exchange.route,
            content=rounds.content,
            usage=total(attempt.usage for attempt in attempts if attempt.usage),
            duration_ms=self._elapsed_ms(),
            ttft_ms=self._ttft_ms,
            finish_reason=rounds.reason,
            error_code=self.error.code if self.error else None,
            attempts=attempts,
            agent_type=rounds.agent.name,
            agents=tuple(rounds.agents),
            tools_used=tuple(rounds.toolbox.used),
            parts=rounds.parts,
            domain=self._domain.name,
            domain_confidence=self._domain.confidence,
            skill=(self._turn.profile or {}).get("skill_level"),
            escalation={"hand_offs": rounds.hand_offs} if rounds.hand_offs else None,
            handoffs=len(rounds.hand_offs),
            context_tokens=_context_tokens(self.exchange.attempts),
        )

    def _status(self) -> Status:
        if self.error is not None:
            return "partial" if self._ttft_ms is not None else "failed"
        return "cancelled" if self.rounds.reason is None else "completed"

    def _elapsed_ms(self) -> int:
        return round((time.monotonic() - self._arrived) * 1000)


def _context_tokens(attempts: list[Attempt]) -> int | None:
    """The last prompt as its provider counted it; None when it did not."""
    usage = attempts[-1].usage if attempts else None
    return usage.input_tokens if usage and usage.source != "estimate" else None


def run_agent_turn(turn: Turn, asked: ChatRequest, arrived: float) -> AsyncGenerator[TurnEvent, None]:
    """The turn of an agent, as `spoken` tells it."""
    return run_turn(turn, AgentRun(turn, asked, arrived))


async def run_turn(turn: Turn, tally: TurnRun) -> AsyncGenerator[TurnEvent, None]:
    """The turn's events, a Failure if it broke off, and last its Receipt.

    Closing or cancelling it at any point books the turn as cancelled, with what was said and used so far.
    """
    receipt: Receipt | None = None
    bind_turn(turn.request_id, turn.turn_id)
    try:
        async with aclosing(tally.events()) as events:
            async for event in events:
                tally.see(event)
                yield event
    except NotConfigured as error:  # which variable is missing is for the operator
        log("not_configured", error=error.message)
        tally.error = NotConfigured("This deployment lacks a setting that this turn needs.")
    except ParleyError as error:
        tally.error = error
    except Exception as error:  # noqa: BLE001 - a bug must cost neither the row nor the stream's proper end
        log("crash", error=type(error).__name__)
        tally.error = InternalError("Something went wrong on our side.")
    finally:
        receipt = await ledger.finish(tally.entry())
        log(
            "turn",
            status=receipt.entry.status,
            model=receipt.entry.route.identifier,
            error=receipt.entry.error_code,
            ms=receipt.entry.duration_ms,
            ttft_ms=receipt.entry.ttft_ms,
            logged=receipt.logged,
        )
    if tally.error is not None:
        yield Failure(tally.error)
    yield receipt
