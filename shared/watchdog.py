"""The time limit of a model's silence: one timer for all waits of a call."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from shared.errors import ProviderTimeout, TurnTimeout


class Watchdog:
    """Raises the error of a wait that takes longer than its limit; between waits the task may take its time.

    It cancels the task that waits, as asyncio.timeout does, and a cancellation from outside stays one. But its timer
    stays when a wait ends early: asyncio.timeout makes a new one for each event of an answer.

    A sign of life extends the wait. After one the timeout is not transient: the call was accepted, and is paid for.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # when the timer looks; times are those of the event loop
        self._limit = 0.0
        self._task: asyncio.Task[Any] | None = None  # None between two waits
        self._cancellations = 0  # of the task, from outside
        self._is_late = self._has_life = False
        self._patience = 0.0  # seconds that a sign of life adds
        self._end = 0.0  # no sign of life extends the wait beyond it

    def start(self, seconds: float, patience: float = 0.0, left: float = float("inf")) -> None:
        """Begins a wait of the current task, of at most `seconds`.

        A sign of life extends it to `patience` seconds from then, and never beyond `left` seconds from now, where the
        turn ends.
        """
        self._task = task = asyncio.current_task(self._loop)
        self._cancellations = task.cancelling() if task else 0
        now = self._loop.time()
        self._patience, self._end = patience, now + left
        self._limit = min(now + seconds, self._end)
        if self._timer is None or self._limit < self._due:
            self._set_timer()

    def alive(self) -> None:
        """Notes a sign of life: bytes of the response have arrived."""
        self._has_life = True
        if self._task is not None:
            self._limit = min(self._loop.time() + self._patience, self._end)
            if self._limit < self._due:
                self._set_timer()

    def stop(self) -> bool:
        """Ends the wait. Returns whether its task was cancelled by the limit, and by nothing else."""
        task, self._task = self._task, None
        if not self._is_late or task is None:
            return False
        self._is_late = False
        return task.uncancel() <= self._cancellations

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = self._limit
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._task is None:
            return  # the next wait sets a timer
        if self._loop.time() < self._limit:
            self._set_timer()
        else:
            self._is_late = True
            self._task.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_cancelled_by_us = self.stop()
        if self._timer is not None:
            self._timer.cancel()
        if is_cancelled_by_us and isinstance(error, asyncio.CancelledError):
            raise self._timeout() from error

    def _timeout(self) -> ProviderTimeout:
        """TurnTimeout when the turn's end was the limit: that is no fault of the provider."""
        if self._limit >= self._end:
            return TurnTimeout("The turn's time has ended.")
        timeout = ProviderTimeout("The model did not answer in time.")
        timeout.is_transient = not self._has_life
        return timeout
