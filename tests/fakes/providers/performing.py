"""Sends a script over a connection with pauses and interruptions, and detects a disconnect."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable

from aiohttp import web

from tests.fakes.providers.wire import Answer, Dialect, Refusal, Script, as_json

_FLOOD = "on and on " * 400
_BROKEN = b'{"broken": [1, 2'
_FOUR_BYTES = re.compile(rb"[\xf0-\xf7]")


class Stage:
    """One connection; `started` is set when an answer begins to wait or continues without end."""

    def __init__(self, request: web.Request, gate: asyncio.Event, started: Callable[[], None]) -> None:
        self._request, self._gate, self._started = request, gate, started
        self.is_over = False

    async def stream(self, script: Script, answer: Answer) -> web.StreamResponse:
        """The answer as server-sent events."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(self._request)
        await _send(response, answer.opening())
        await self._hold(script)
        if script.reasoning:
            await _send(response, answer.thought(script.reasoning))
        for piece in script.pieces:
            await _send(response, answer.text_frames(piece))
            if script.pause_seconds:
                await asyncio.sleep(script.pause_seconds)
        if script.ending == "torn":
            return self._torn(response)
        await self._wait_forever(script, response, answer)
        self.is_over = True  # a client that leaves from here on has read the end or cannot continue
        if script.ending == "overloaded":
            await _send(response, answer.overloaded())
        elif script.ending != "early":
            await _send(response, answer.broken() if script.ending == "broken" else ())
            await _send(response, answer.called(script.calls) if script.calls else ())
            await _send(response, answer.closing())
        await response.write_eof()
        return response

    async def whole(self, script: Script, answer: Answer, dialect: Dialect) -> web.StreamResponse:
        """The answer as one JSON document; silence, cuts and nonsense have their likeness there."""
        await self._hold(script)
        if script.ending in {"silent", "endless", "flood"}:
            self._started()
            await asyncio.Event().wait()
        self.is_over = True
        if script.ending == "overloaded":
            return dialect.refuse(Refusal(dialect.overload_status)).response()
        body = _BROKEN if script.ending == "broken" else as_json(answer.whole())
        if script.ending != "torn":
            return web.Response(body=body, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
        await response.prepare(self._request)
        if script.pieces:
            await response.write(body[: len(body) // 2])
        return self._torn(response)

    async def _hold(self, script: Script) -> None:
        if script.is_held:
            self._started()
            await self._gate.wait()

    async def _wait_forever(self, script: Script, response: web.StreamResponse, answer: Answer) -> None:
        if script.ending == "silent":
            self._started()
            await asyncio.Event().wait()
        while script.ending == "endless":
            await _send(response, answer.text_frames("on "))
            self._started()
            await asyncio.sleep(0.02)
        while script.ending == "flood":
            await _send(response, answer.text_frames(_FLOOD))
            self._started()

    def _torn(self, response: web.StreamResponse) -> web.StreamResponse:
        self.is_over = True
        assert self._request.transport is not None
        self._request.transport.abort()
        return response


async def _send(response: web.StreamResponse, frames: Iterable[bytes]) -> None:
    """Writes each frame by itself, and one with a four-byte character in two pieces, cut within that character."""
    for frame in frames:
        if found := _FOUR_BYTES.search(frame):
            await response.write(frame[: found.start() + 2])
            await asyncio.sleep(0.01)  # lets the reader see the halves apart
        await response.write(frame[found.start() + 2 :] if found else frame)
        await asyncio.sleep(0)
