"""From a turn's events to an HTTP response, watching whether the caller is still there."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol

import anyio
import anyio.abc
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from functions.chat.admission import route_headers
from functions.chat.agent_run import Failure, TurnEvent
from shared.endpoint import LateOutcome, error_response
from shared.errors import ParleyError
from shared.routes import RouteChosen
from shared.sanitize import sanitize_text
from shared.sse import PING
from shared.turns import Receipt

START_AFTER_SECONDS = 3.0
PING_AFTER_SECONDS = 15.0
_STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}

Events = AsyncGenerator[TurnEvent, None]


class Encoder(Protocol):
    """Events to the frames of one protocol; `headers` are its own."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What the response says of the protocol."""
        ...

    def begin(self) -> bytes:
        """The first frames."""
        ...

    def encode(self, event: TurnEvent) -> bytes:
        """Frames of one event; none for those that only the ledger needs."""
        ...


class JsonEncoder(Protocol):
    """Events to one JSON object."""

    def see(self, event: TurnEvent) -> None:
        """Takes note of one event."""
        ...

    def answer(self, receipt: Receipt) -> dict[str, Any]:
        """The whole answer."""
        ...


@asynccontextmanager
async def _until_hang_up(receive: Receive) -> AsyncIterator[anyio.abc.TaskGroup]:
    """Cancels its body when the caller disconnects; the events' own end then books the turn as cancelled."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        yield tasks
        tasks.cancel_scope.cancel()


class WholeResponse(LateOutcome, Response):
    """Waits for the end of the turn and sends it as one JSON object, or as the error it ended with."""

    def __init__(self, events: Events, teller: JsonEncoder, request_id: str, headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        self._events, self._teller, self._request_id = events, teller, request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure: ParleyError | None = None
        receipt: Receipt | None = None
        async with _until_hang_up(receive), aclosing(self._events) as events:
            async for event in events:
                self.headers.update(_served_by(event))
                self._teller.see(event)
                if isinstance(event, Failure):
                    failure = event.error
                elif isinstance(event, Receipt):
                    receipt = event
        if receipt is None:
            return  # hung up: nobody is there
        if failure is not None:
            response = error_response(failure, self._request_id)
        else:  # booked already: nothing in it may keep it from being told
            response = JSONResponse(sanitize_text(self._teller.answer(receipt)))
        await _with_headers_of(self, response)(scope, receive, send)


class StreamResponse(LateOutcome, Response):
    """Sends events as they come.

    The response starts with the first content or after three seconds of waiting for it, whichever is first, so that
    a model that fails at once is an HTTP status; it keeps the line open with a ping after fifteen seconds of silence.
    """

    def __init__(self, events: Events, encoder: Encoder, request_id: str, headers: dict[str, str]) -> None:
        super().__init__(headers=headers | _STREAM_HEADERS | dict(encoder.headers))
        self._events, self._encoder, self._request_id = events, encoder, request_id
        self._is_started = self._is_refused = False
        self._starting = anyio.Lock()
        self._sent_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure: ParleyError | None = None
        is_told = False
        async with _until_hang_up(receive) as tasks, aclosing(self._events) as events:
            tasks.start_soon(self._keep_alive, send, tasks.cancel_scope)
            async for event in events:
                if not self._is_started:
                    self.headers.update(_served_by(event))
                if isinstance(event, Failure) and not self._is_started:
                    failure, self._is_refused = event.error, True
                elif failure is None and (frames := self._encoder.encode(event)):
                    await self._start(send)
                    await self._write(send, frames)
            is_told = True
        if not is_told:
            return  # hung up
        if failure is not None:
            await _with_headers_of(self, error_response(failure, self._request_id))(scope, receive, send)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, send: Send) -> None:
        async with self._starting:  # the first event and the three seconds may come at once
            if not self._is_started and not self._is_refused:
                self._is_started = True
                await send({"type": "http.response.start", "status": 200, "headers": self._stream_headers()})
                await self._write(send, self._encoder.begin())

    def _stream_headers(self) -> list[tuple[bytes, bytes]]:
        return [(name, value) for name, value in self.raw_headers if name != b"content-length"]

    async def _write(self, send: Send, frames: bytes) -> None:
        self._sent_at = time.monotonic()
        await send({"type": "http.response.body", "body": frames, "more_body": True})

    async def _keep_alive(self, send: Send, scope: anyio.CancelScope) -> None:
        await anyio.sleep(START_AFTER_SECONDS)
        await self._start(send)
        while self._is_started and not scope.cancel_called:
            wait = self._sent_at + PING_AFTER_SECONDS - time.monotonic()
            if wait > 0:
                await anyio.sleep(wait)
            else:
                await self._write(send, PING)


def _served_by(event: TurnEvent) -> dict[str, str]:
    """What an event tells of the route, for the headers: who begins to answer, and in the end who was tried last."""
    if isinstance(event, RouteChosen):
        return route_headers(event.route, event.fallbacks)
    if isinstance(event, Receipt):
        return route_headers(event.entry.route, event.entry.turn.routes.index(event.entry.route))
    return {}


def _with_headers_of(outer: Response, inner: Response) -> Response:
    """What the door put on the outer response (CORS, request id) and the turn (limits) belongs on the error too."""
    own = {name.lower() for name, _ in inner.raw_headers} | {b"content-type", b"content-length", b"cache-control"}
    inner.raw_headers.extend(
        (name, value)
        for name, value in outer.raw_headers
        if name not in own and name not in {b"x-accel-buffering", b"x-vercel-ai-ui-message-stream"}
    )
    return inner
