"""HTTP responses of a turn, streamed or whole; a client that disconnects ends the turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import Any, Protocol

import anyio
import orjson
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from shared.error_response import error_response
from shared.errors import ParleyError, TurnTimeout
from shared.limit_headers import limit_headers, route_headers
from shared.parameters import NO_WISHES, Wishes
from shared.routes import Route, RouteChosen
from shared.run_turn import Failure, TurnEvent
from shared.sanitize import sanitize_text
from shared.side_tasks import SideTasks
from shared.sse import PING
from shared.turns import Receipt, Turn

START_AFTER_SECONDS = 3.0
PING_AFTER_SECONDS = 15.0
LAST_FRAMES_SECONDS = 5.0  # after the turn's deadline, for its error and receipt; well within the margin of the lease
STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}

Events = AsyncGenerator[TurnEvent, None]


class StreamEncoder(Protocol):
    """Encodes events as the frames of one protocol; `headers` are the protocol's own."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Response headers of the protocol."""
        ...

    def begin(self) -> bytes:
        """The first frames."""
        ...

    def encode(self, event: TurnEvent) -> bytes:
        """Frames of one event; empty for events that only the ledger needs."""
        ...


class JsonEncoder(Protocol):
    """Encodes events as one JSON object."""

    def observe(self, event: TurnEvent) -> None:
        """Records what the encoder needs and the receipt does not have."""
        ...

    def encode(self, receipt: Receipt) -> dict[str, Any]:
        """The whole object."""
        ...


@contextmanager
def until_hang_up(receive: Receive, deadline: float) -> Iterator[SideTasks]:
    """Cancels its body when the client disconnects or reads too slowly; `run_turn` then books the turn as cancelled.

    A client that reads nothing blocks a write for ever, so the body ends LAST_FRAMES_SECONDS after `deadline` at the
    latest; then `failure` is TurnTimeout, for a response that has not begun. The scope is anyio's, because the booking
    shields itself from it.
    """
    has_left = False

    async def watch() -> None:
        nonlocal has_left
        while (await receive())["type"] != "http.disconnect":
            pass
        has_left = True
        scope.cancel()

    with anyio.CancelScope(deadline=deadline + LAST_FRAMES_SECONDS) as scope:
        tasks = SideTasks(scope)
        tasks.start(watch())
        try:
            yield tasks
        finally:
            tasks.cancel()
    if scope.cancelled_caught and not has_left and tasks.failure is None:
        tasks.failure = TurnTimeout("The turn's time has ended.")


async def send_late(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends the error of a turn that was cancelled while its client waited; a client that reads nothing is left."""
    with anyio.move_on_after(LAST_FRAMES_SECONDS):
        await response(scope, receive, send)


class WholeResponse(Response):
    """Waits for the end of the turn and sends it as one JSON object, or as the error it ended with.

    `deadline` is the end of the turn's time, by time.monotonic().
    """

    logs_itself = True

    def __init__(
        self, turn: Turn, events: Events, encoder: JsonEncoder, deadline: float, wishes: Wishes = NO_WISHES
    ) -> None:
        super().__init__(headers=limit_headers(turn) | wishes.headers(turn.routes[0]))
        self._turn, self._events, self._encoder, self._wishes = turn, events, encoder, wishes
        self._deadline = deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure: ParleyError | None = None
        receipt: Receipt | None = None
        with until_hang_up(receive, self._deadline) as tasks:
            async with aclosing(self._events) as events:
                async for event in events:
                    self._encoder.observe(event)
                    if isinstance(event, Failure):
                        failure = event.error
                    elif isinstance(event, Receipt):
                        receipt = event
        if receipt is None:
            if tasks.failure is not None:
                await send_late(_error_of(self, self._turn, tasks.failure), scope, receive, send)
            return  # else the client disconnected
        _name_route(self, self._turn, receipt.result.route, self._wishes)
        if failure is not None:
            response = error_response(failure, self._turn.request_id)
        else:  # sanitised, because the turn is already charged and a character that cannot be encoded must not fail it
            response = _SanitizedJson(self._encoder.encode(receipt))
        await _with_headers_of(self, response)(scope, receive, send)


class _SanitizedJson(JSONResponse):
    """JSON whose strings are sanitised where they cannot be encoded or hold NUL."""

    def render(self, content: Any) -> bytes:
        with suppress(orjson.JSONEncodeError):  # for lone surrogates, and for integers that only json writes
            body = orjson.dumps(content)
            if b"\\u0000" not in body:
                return body
        return super().render(sanitize_text(content))


class StreamResponse(Response):
    """Sends each event as soon as it arrives.

    The response starts with the first content or after three seconds, whichever is first, so that the immediate failure
    of a model is an HTTP status. A ping after fifteen seconds of silence keeps the connection open. `deadline` is the
    end of the turn's time, by time.monotonic().
    """

    logs_itself = True

    def __init__(
        self, turn: Turn, events: Events, encoder: StreamEncoder, deadline: float, wishes: Wishes = NO_WISHES
    ) -> None:
        headers = limit_headers(turn) | wishes.headers(turn.routes[0])
        super().__init__(headers=headers | STREAM_HEADERS | dict(encoder.headers))
        self._turn, self._events, self._encoder, self._wishes = turn, events, encoder, wishes
        self._deadline = deadline
        self._is_started = self._is_refused = False
        self._starting = asyncio.Lock()
        self._sent_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure: ParleyError | None = None
        is_complete = False
        with until_hang_up(receive, self._deadline) as tasks, self._kept_alive(tasks, send):
            async with aclosing(self._events) as events:
                async for event in events:
                    if not self._is_started and (route := _route_of(event)):
                        _name_route(self, self._turn, route, self._wishes)
                    if isinstance(event, Failure) and not self._is_started:
                        failure, self._is_refused = event.error, True
                    elif failure is None and (frames := self._encoder.encode(event)):
                        if not self._is_started or self._starting.locked():
                            await self._start(send)
                        await self._write(send, frames)
            is_complete = True
        if not is_complete:
            if not self._is_started and tasks.failure is not None:
                await send_late(_error_of(self, self._turn, tasks.failure), scope, receive, send)
            return  # else the client disconnected, or does not read
        if failure is not None:
            await _error_of(self, self._turn, failure)(scope, receive, send)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, send: Send) -> None:
        async with self._starting:  # the first event and the three seconds may coincide
            if not self._is_started and not self._is_refused:
                self._is_started = True
                await send({"type": "http.response.start", "status": 200, "headers": self._stream_headers()})
                await self._write(send, self._encoder.begin())

    def _stream_headers(self) -> list[tuple[bytes, bytes]]:
        return [(name, value) for name, value in self.raw_headers if name != b"content-length"]

    async def _write(self, send: Send, frames: bytes) -> None:
        self._sent_at = asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": frames, "more_body": True})

    @contextmanager
    def _kept_alive(self, tasks: SideTasks, send: Send) -> Iterator[None]:
        """Starts the response and sends pings while its body is slow; most bodies end before there is such a task."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(START_AFTER_SECONDS, lambda: tasks.start(self._keep_alive(send)))
        try:
            yield
        finally:
            timer.cancel()

    async def _keep_alive(self, send: Send) -> None:
        await self._start(send)
        while self._is_started:
            wait = self._sent_at + PING_AFTER_SECONDS - asyncio.get_running_loop().time()
            if wait > 0:
                await asyncio.sleep(wait)
            else:
                await self._write(send, PING)


def _route_of(event: TurnEvent) -> Route | None:
    """The route that begins to answer, and at the end the last route that was tried."""
    if isinstance(event, RouteChosen):
        return event.route
    return event.result.route if isinstance(event, Receipt) else None


def _name_route(response: Response, turn: Turn, route: Route, wishes: Wishes) -> None:
    """Sets the headers that depend on the route; those of the first one are there from the beginning."""
    if route is turn.routes[0]:
        return
    del response.headers["X-Ignored-Params"]  # another route may take them all
    response.headers.update(route_headers(turn, route) | wishes.headers(route))


def _error_of(outer: Response, turn: Turn, error: ParleyError) -> Response:
    return _with_headers_of(outer, error_response(error, turn.request_id))


def _with_headers_of(outer: Response, inner: Response) -> Response:
    """The inner response with the outer one's headers of the endpoint (CORS, request id) and of the turn (limits)."""
    own = {name.lower() for name, _ in inner.raw_headers} | {b"content-type", b"content-length", b"cache-control"}
    inner.raw_headers.extend(
        (name, value)
        for name, value in outer.raw_headers
        if name not in own and name not in {b"x-accel-buffering", b"x-vercel-ai-ui-message-stream"}
    )
    return inner
