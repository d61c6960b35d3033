"""One turn: history → model → events, and at the end, however it ended, the booking."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from functions.chat.agents import PROMPTS
from functions.chat.request import ChatRequest
from shared import ledger
from shared.errors import InternalError, ParleyError
from shared.events import Finish, Message, ModelEvent, Reasoning, Serving, Text, ToolCall
from shared.gateway import Exchange, Options
from shared.ledger import Entry, Receipt, Status, Turn
from shared.log import log


@dataclass(frozen=True, slots=True)
class Failure:
    """The turn broke off; before any content it is an HTTP status, after it an error event."""

    error: ParleyError


TurnEvent = ModelEvent | Serving | Failure | Receipt


class Tally:
    """What has come of a turn so far: enough to book it at any moment."""

    def __init__(self, turn: Turn, asked: ChatRequest, arrived: float) -> None:
        self.prompt = (
            Message("system", PROMPTS[asked.agent_type]),
            *turn.history,
            Message("user", asked.question),
        )
        self.exchange = Exchange(turn.routes, Options(temperature=asked.temperature), arrived)
        self.error: ParleyError | None = None
        self._turn, self._asked, self._arrived = turn, asked, arrived
        self._words: list[str] = []
        self._finish: Finish | None = None
        self._ttft_ms: int | None = None

    def see(self, event: ModelEvent | Serving) -> None:
        """Takes note of one event."""
        if self._ttft_ms is None and isinstance(event, Text | Reasoning | ToolCall):
            self._ttft_ms = self._elapsed_ms()
        match event:
            case Text(text):
                self._words.append(text)
            case Finish():
                self._finish = event
            case _:
                pass

    def entry(self) -> Entry:
        """How the turn stands now; without an end of the stream and without an error the caller hung up."""
        return Entry(
            turn=self._turn,
            status=self._status(),
            route=self.exchange.route,
            content="".join(self._words),
            usage=self.exchange.usage,
            duration_ms=self._elapsed_ms(),
            ttft_ms=self._ttft_ms,
            finish_reason=self._finish.reason if self._finish else None,
            error_code=self.error.code if self.error else None,
            attempts=tuple(self.exchange.attempts),
            agent_type=self._asked.agent_type,
        )

    def _status(self) -> Status:
        if self.error is not None:
            return "partial" if self._ttft_ms is not None else "failed"
        return "cancelled" if self._finish is None else "completed"

    def _elapsed_ms(self) -> int:
        return round((time.monotonic() - self._arrived) * 1000)


async def speak(turn: Turn, asked: ChatRequest, arrived: float) -> AsyncGenerator[TurnEvent, None]:
    """The turn's events, a Failure if it broke off, and last its Receipt.

    Closing or cancelling it at any point books the turn as cancelled, with what was said and used so far.
    """
    tally = Tally(turn, asked, arrived)
    receipt: Receipt | None = None
    try:
        async with aclosing(tally.exchange.events(tally.prompt)) as events:
            async for event in events:
                tally.see(event)
                yield event
    except ParleyError as error:
        tally.error = error
    except Exception as error:  # noqa: BLE001 - a bug must cost neither the row nor the stream's proper end
        log("crash", request_id=turn.request_id, error=type(error).__name__)
        tally.error = InternalError("Something went wrong on our side.")
    finally:
        receipt = await ledger.finish(tally.entry())
        log(
            "turn",
            request_id=turn.client_request_id,
            turn=turn.request_id,
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
