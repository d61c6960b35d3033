"""Runs a turn: passes its events on, books its result however it ends, and writes its log line."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from shared import ledger, telemetry, tracing
from shared.errors import InternalError, NotConfigured, ParleyError
from shared.events import CONTENT, ModelEvent, NextStep, ToolResult
from shared.log import bind_turn, log
from shared.routes import RouteChosen
from shared.turns import Receipt, Status, Turn, TurnResult


@dataclass(frozen=True, slots=True)
class Failure:
    """The turn failed. Before any content it becomes an HTTP status, after content an error event."""

    error: ParleyError


RunEvent = ModelEvent | RouteChosen | ToolResult | NextStep
TurnEvent = RunEvent | Failure | Receipt


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How a run ended; `ttft_ms` is the time to the first content, None when there was none."""

    error: ParleyError | None
    duration_ms: int
    ttft_ms: int | None

    def status(self, finish_reason: str | None) -> Status:
        """The status of the turn. Without a finish reason and without an error, the client hung up."""
        if self.error is not None:
            return "partial" if self.ttft_ms is not None else "failed"
        return "cancelled" if finish_reason is None else "completed"

    @property
    def error_code(self) -> str | None:
        """The machine code of the error; None without one."""
        return self.error.code if self.error else None


class TurnRun(Protocol):
    """An admitted turn that is running."""

    @property
    def turn(self) -> Turn:
        """The admitted turn."""
        ...

    @property
    def arrived(self) -> float:
        """The time.monotonic() at which the request arrived."""
        ...

    def events(self) -> AsyncGenerator[RunEvent, None]:
        """The events of models and tools. Raises what the gateway and the ledger raise."""
        ...

    def result(self, end: TurnEnd) -> TurnResult:
        """The result of the run; called once, after the run has ended in any way."""
        ...


def _in_our_words(error: ParleyError) -> ParleyError:
    return error


async def run_turn(
    run: TurnRun, reworded: Callable[[ParleyError], ParleyError] = _in_our_words
) -> AsyncGenerator[TurnEvent, None]:
    """The events of the run, a Failure (`reworded`) if it failed, and last its Receipt.

    If this generator is closed or cancelled, the turn is booked as cancelled, with its content and usage so far.
    """
    error: ParleyError | None = None
    ttft_ms: int | None = None
    bind_turn(run.turn.request_id, run.turn.turn_id)
    trace = tracing.begin_turn(is_exported=telemetry.is_on())
    try:
        async with aclosing(run.events()) as events:
            async for event in events:
                if ttft_ms is None and isinstance(event, CONTENT):
                    ttft_ms = _elapsed_ms(run)
                yield event
    except NotConfigured as missing:  # the name of the variable is for the operator only
        log("not_configured", error=missing.message)
        error = NotConfigured("This deployment lacks a setting that this turn needs.")
    except ParleyError as failure:
        error = failure
    except Exception as crash:  # noqa: BLE001 - after a bug too, the row is written and the stream ends properly
        log("crash", error=type(crash).__name__)
        error = InternalError()
    finally:
        receipt = await ledger.finish(run.result(TurnEnd(error, _elapsed_ms(run), ttft_ms)))
        _log_end(receipt)
        if trace is not None:
            telemetry.export(trace, receipt, run.arrived)
    if error is not None:
        yield Failure(reworded(error))
    yield receipt


def _elapsed_ms(run: TurnRun) -> int:
    return round((time.monotonic() - run.arrived) * 1000)


def _log_end(receipt: Receipt) -> None:
    result = receipt.result
    log(
        "turn",
        status=result.status,
        model=result.route.identifier,
        error=result.error_code,
        ms=result.duration_ms,
        ttft_ms=result.ttft_ms,
        logged=receipt.logged,
    )
