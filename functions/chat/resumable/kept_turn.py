"""A turn that belongs to its conversation: it runs in a task of its own, which a hang-up does not end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import anyio

from functions.chat.resumable.writer import PieceWriter
from shared.log import log
from shared.run_turn import RunEvent, TurnEnd, TurnEvent, TurnRun, run_turn
from shared.turns import Turn, TurnResult

_LAST_PIECE_SECONDS: Final = 1.0  # the response ends without the last piece when the database is slow


class StoppableRun:
    """A run whose events end early after `stop`, so that the turn is booked as cancelled and has a receipt."""

    def __init__(self, run: TurnRun) -> None:
        self._run = run
        self._task: asyncio.Task[object] | None = None
        self._is_stopped = False

    @property
    def turn(self) -> Turn:
        """The admitted turn."""
        return self._run.turn

    @property
    def arrived(self) -> float:
        """The time.monotonic() at which the request arrived."""
        return self._run.arrived

    def stop(self) -> None:
        """Ends the events. Without effect after their end, so that the booking is not cancelled."""
        if not self._is_stopped:
            self._is_stopped = True
            if self._task is not None:
                self._task.cancel()

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """The events of the run until `stop`. One task reads them all, without waiting between two."""
        if self._is_stopped:
            return
        task = self._task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        try:
            async with aclosing(self._run.events()) as events:
                async for event in events:
                    yield event
        except asyncio.CancelledError:
            if not self._is_stopped or task.uncancel() > 0:  # the task itself is cancelled
                raise
        finally:
            self._task = None

    def result(self, end: TurnEnd) -> TurnResult:
        """The result of the run."""
        return self._run.result(end)


async def kept_turn(run: TurnRun) -> AsyncGenerator[TurnEvent, None]:
    """The events of a turn that is kept in pieces. When this generator is closed, the turn still runs to its end.

    The close returns at that end, so that a server that shuts down waits for the turn.
    """
    events: asyncio.Queue[TurnEvent | None] = asyncio.Queue()
    task = asyncio.create_task(_run_and_keep(run, events))
    _running.add(task)
    task.add_done_callback(_running.discard)
    patience: float | None = None
    try:
        while (event := await events.get()) is not None:
            yield event
        patience = _LAST_PIECE_SECONDS
    finally:
        with anyio.move_on_after(patience, shield=True):
            await asyncio.wait([task])


async def _run_and_keep(run: TurnRun, events: asyncio.Queue[TurnEvent | None]) -> None:
    stoppable = StoppableRun(run)
    writer = PieceWriter(run.turn, stoppable.stop)
    writing = asyncio.create_task(writer.run())
    try:
        async with aclosing(run_turn(stoppable)) as running:
            async for event in running:
                writer.add(event)
                events.put_nowait(event)
    finally:
        events.put_nowait(None)
        writer.end()
        await asyncio.wait([writing])
        if not writing.cancelled() and (crash := writing.exception()):
            log("crash", error=type(crash).__name__)


_running: set[asyncio.Task[None]] = set()  # the event loop itself keeps only weak references
