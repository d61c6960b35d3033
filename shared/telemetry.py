"""Exports finished turns as OpenTelemetry spans, over OTLP/HTTP, when OTEL_EXPORTER_OTLP_ENDPOINT is set.

A turn never waits for the export: it only puts its receipt into a bounded queue, which one task of the event loop
empties. When the receiver fails, the spans wait, and new ones are dropped once the queue is full.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import unquote

import aiohttp

from shared import http
from shared.config import settings
from shared.log import log
from shared.traced_turn import TracedTurn
from shared.tracing import TurnTrace
from shared.turns import Receipt

MAX_QUEUED: Final = 256
MAX_BATCH: Final = 32
PAUSE_SECONDS: Final = 15.0  # between a failed export and the next
_POST_SECONDS = 5.0
_LAST_SECONDS = 1.0  # of the last export of an instance that ends
_TRANSIENT = {429, 502, 503, 504}  # the statuses that OTLP/HTTP lets a client repeat


class Exporter:
    """The queue of one process, and the task that empties it."""

    def __init__(self) -> None:
        self._queue: deque[TracedTurn] = deque()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next_try = float("-inf")

    def add(self, turn: TracedTurn) -> None:
        """Queues the turn; drops it when the queue is full."""
        if len(self._queue) >= MAX_QUEUED:
            return
        self._queue.append(turn)
        loop = asyncio.get_running_loop()
        is_busy = self._loop is loop and self._task is not None and not self._task.done()
        if not is_busy and time.monotonic() >= self._next_try:
            self._loop, self._task = loop, loop.create_task(self._empty())

    async def drained(self) -> None:
        """Returns when the running export has ended."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _empty(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(MAX_BATCH, len(self._queue)))]
            try:
                is_accepted = await _is_accepted(batch, _POST_SECONDS)
            except asyncio.CancelledError:  # the instance ends
                await _is_accepted(batch, _LAST_SECONDS)
                raise
            if not is_accepted:
                self._next_try = time.monotonic() + PAUSE_SECONDS
                self._queue.extendleft(reversed(batch[: MAX_QUEUED - len(self._queue)]))
                return


_exporter = Exporter()


def is_on() -> bool:
    """Whether turns are exported."""
    return bool(settings().get("OTEL_EXPORTER_OTLP_ENDPOINT"))


def export(trace: TurnTrace, receipt: Receipt, arrived: float) -> None:
    """Queues the turn's spans; never raises and never waits."""
    _exporter.add(TracedTurn(trace, receipt, arrived, time.monotonic(), time.time_ns()))


async def drained() -> None:
    """Returns when the running export has ended."""
    await _exporter.drained()


async def _is_accepted(batch: Sequence[TracedTurn], seconds: float) -> bool:
    """False when the same spans may be accepted later. Spans that the receiver rejects are lost."""
    try:
        async with asyncio.timeout(seconds):
            encode = await asyncio.to_thread(_encoder)
            url = settings().checked("OTEL_EXPORTER_OTLP_ENDPOINT").rstrip("/") + "/v1/traces"
            body = encode(batch, settings().get("OTEL_SERVICE_NAME", "parley-chat"))
            headers = _headers() | {"Content-Type": "application/x-protobuf"}
            async with http.session().post(url, data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        log("spans_failed", error=type(error).__name__)  # without the message, which may contain the address
        return False
    except Exception as error:  # noqa: BLE001 - no error of an export may reach a turn
        log("spans_failed", error=type(error).__name__)
        return True
    if status >= 300:
        log("spans_failed", status=status)
    return status not in _TRANSIENT


def _encoder() -> Callable[[Sequence[TracedTurn], str], bytes]:
    """Loads protobuf with the first export only, in a thread, because that takes as long as some turns."""
    encode: Callable[[Sequence[TracedTurn], str], bytes] = importlib.import_module("shared.otlp").encode
    return encode


def _headers() -> dict[str, str]:
    """The headers of OTEL_EXPORTER_OTLP_HEADERS: `name=value` pairs between commas, values URL-encoded."""
    pairs = (each.partition("=") for each in settings().checked("OTEL_EXPORTER_OTLP_HEADERS").split(","))
    return {name.strip(): unquote(value.strip()) for name, _, value in pairs if name.strip()}
