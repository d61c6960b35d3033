"""Responses whose answers are not all stored: whole JSON, events, or the JSON text as it forms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import anyio
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from functions.assist import runner
from functions.assist.answer import Serving
from functions.assist.bodies import Outcome, body_of, headers_of
from functions.assist.cache import Found
from functions.assist.model_answer import admitted
from functions.assist.preset import Bundle, Offer
from functions.assist.request import Asked
from functions.assist.runner import Part, unwatched
from functions.assist.streams import EventFrames, Frames, TextFrames
from shared.admission import dry_run_json
from shared.config import settings
from shared.error_response import error_response
from shared.errors import InternalError, ParleyError
from shared.log import log
from shared.responses import PING_AFTER_SECONDS, START_AFTER_SECONDS, STREAM_HEADERS, send_late, until_hang_up
from shared.sse import PING

_TYPES: Final = {"events": STREAM_HEADERS["Content-Type"], "text": "text/plain; charset=utf-8"}
Pending = list[tuple[Part, Found | ParleyError]]


class BrokenTextError(Exception):
    """The text that was sent turned out wrong: the connection closes, so that the client sees no end."""


def whole_response(offer: Offer, asked: Asked, outcomes: dict[str, Outcome]) -> Response:
    """The JSON response when all parts have ended."""
    try:
        body = body_of(offer, outcomes, asked.request_id)
    except ParleyError as error:
        return error_response(error, asked.request_id)
    return Response(body, media_type="application/json", headers=headers_of(asked, outcomes))


async def dry_run(offer: Offer, parts: list[Part]) -> Response:
    """What the answer would take: of a preset its route, estimate and limits, of a bundle those of each part."""
    planned = [dry_run_json(await admitted(part)) for part in parts]
    if isinstance(offer, Bundle):
        return JSONResponse({"parts": {part.preset.name: each for part, each in zip(parts, planned, strict=True)}})
    return JSONResponse(planned[0])


class PendingAnswer(Response):
    """The answer to a request. Its parts are awaited or computed at once while it is sent; a hang-up ends them."""

    logs_itself = True

    def __init__(self, offer: Offer, asked: Asked, pending: Pending) -> None:
        super().__init__()
        self._offer, self._asked, self._pending = offer, asked, pending
        self._outcomes: dict[str, Outcome] = {}
        self._serving: dict[str, Mapping[str, str]] = {}
        self._running = len(pending)
        self._is_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with until_hang_up(receive, settings().deadline(self._asked.arrived)) as tasks:
            try:
                await self._send(scope, receive, send)
            finally:
                self._log()
        if tasks.failure is not None and not self._is_started:
            late = self._with_own_headers(error_response(tasks.failure, self._asked.request_id))
            await send_late(late, scope, receive, send)

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._asked.form == "json":
            await self._settle()
            await self._completed()(scope, receive, send)
        else:
            await self._stream(scope, receive, send)

    def _log(self) -> None:
        """One line for each part; a part that has not ended was left by its client."""
        ms = round((time.monotonic() - self._asked.arrived) * 1000)
        for part, _ in self._pending:
            outcome = self._outcomes.get(part.preset.name)
            end = outcome.code if isinstance(outcome, ParleyError) else outcome.cache if outcome else "cancelled"
            log("answer", preset=part.preset.name, outcome=end.lower(), ms=ms)

    def _completed(self) -> Response:
        """The whole response with the headers of the endpoint."""
        self._is_started = True
        return self._with_own_headers(whole_response(self._offer, self._asked, self._outcomes))

    def _with_own_headers(self, response: Response) -> Response:
        own = {name for name, _ in response.raw_headers} | {b"content-length"}
        response.raw_headers.extend(each for each in self.raw_headers if each[0] not in own)
        return response

    async def _settle(self) -> None:
        if len(self._pending) == 1:
            return await self._end(*self._pending[0], unwatched)
        async with anyio.create_task_group() as group:
            for part, found in self._pending:
                group.start_soon(self._end, part, found, unwatched)
        return None

    async def _end(self, part: Part, found: Found | ParleyError, watch: runner.Watch) -> None:
        """Sets the outcome of a part."""
        if isinstance(found, ParleyError):
            self._outcomes[part.preset.name] = found
            return
        try:
            self._outcomes[part.preset.name] = await runner.answer(part, found, watch)
        except ParleyError as error:
            self._outcomes[part.preset.name] = error
        except Exception as crash:  # noqa: BLE001 - the other parts are answered
            log("crash", error=type(crash).__name__)
            self._outcomes[part.preset.name] = InternalError()

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends frames as parts form; an error before the first frame is an HTTP status."""
        frames: Frames = EventFrames(self._offer) if self._asked.form == "events" else TextFrames(self._offer)
        queue: asyncio.Queue[tuple[Part, Any]] = asyncio.Queue()
        async with anyio.create_task_group() as group:
            for part, found in self._pending:
                group.start_soon(self._run, part, found, queue)
            while (item := await self._next(queue, send)) is not None:
                if data := frames.take(*item):
                    await self._write(data, send)
        if not self._is_started and all(isinstance(each, ParleyError) for each in self._outcomes.values()):
            await self._completed()(scope, receive, send)
            return
        last = frames.end(self._outcomes, self._asked.request_id)
        if last is None:
            raise BrokenTextError
        await self._write(last, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _run(self, part: Part, found: Found | ParleyError, queue: asyncio.Queue[tuple[Part, Any]]) -> None:
        async def watch(event: Any) -> None:
            if isinstance(event, Serving):
                self._serving[part.preset.name] = event.headers
            else:
                queue.put_nowait((part, event))

        await self._end(part, found, watch)
        self._running -= 1
        queue.put_nowait((part, self._outcomes[part.preset.name]))

    async def _next(self, queue: asyncio.Queue[tuple[Part, Any]], send: Send) -> tuple[Part, Any] | None:
        """The next event or outcome; None when all parts have ended. Starts the response while there is none."""
        while self._running or not queue.empty():
            with anyio.move_on_after(PING_AFTER_SECONDS if self._is_started else START_AFTER_SECONDS):
                return await queue.get()
            await self._write(PING if self._asked.form == "events" else b"", send)
        return None

    async def _write(self, data: bytes, send: Send) -> None:
        if not self._is_started:
            self._is_started = True
            await send({"type": "http.response.start", "status": 200, "headers": self._stream_headers()})
        await send({"type": "http.response.body", "body": data, "more_body": True})

    def _stream_headers(self) -> list[tuple[bytes, bytes]]:
        serving = {name: value for headers in self._serving.values() for name, value in headers.items()}
        headers = serving | headers_of(self._asked, self._outcomes)
        if len(self._outcomes) < len(self._pending):
            headers["X-Cache"] = "MISS"  # a part is still computed or awaited
            headers.pop("Age", None)
        headers |= STREAM_HEADERS | {"Content-Type": _TYPES[self._asked.form]}
        own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        names = {name for name, _ in own} | {b"content-length"}
        return own + [each for each in self.raw_headers if each[0] not in names]
