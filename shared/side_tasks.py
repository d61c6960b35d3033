"""Tasks beside a turn, whose errors are not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import anyio

from shared.errors import InternalError, ParleyError
from shared.log import log, origin_of


class SideTasks:
    """Tasks beside a turn, which end with it. The error of one is logged and cancels the turn.

    `failure` is the error for a client that waits while the turn is cancelled; None when the turn came to its end or
    its client left.
    """

    def __init__(self, scope: anyio.CancelScope) -> None:
        self.failure: ParleyError | None = None
        self._scope = scope
        self._running: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Starts a task; a task group would take twice as long."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._end)
        self._running.append(task)

    def cancel(self) -> None:
        """Cancels those that still run."""
        for task in self._running:
            task.cancel()

    def _end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            log("crash", error=origin_of(error))
            self.failure = InternalError()
            self._scope.cancel()
