"""Reads HTTP responses within bounds: no host makes a connection cost more than its response is worth."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

MAX_HEAD_BYTES = 64 * 1024  # of the headers, and of interim responses before them
MAX_INTERIM = 8  # responses such as 100 Continue
_MAX_FRAMING_BYTES = 256 * 1024  # chunk sizes, their extensions and trailers; more only beside more content
_FRAMING_PER_BYTE = 8
_SLICE_BYTES = 8 * 1024  # parsed at once, within about a millisecond; then the event loop serves others


class BoundedResponses(ResponseHandler):
    """A client's connection that counts every byte, and parses a few of them at a time.

    A host that exceeds a bound, or sends without being asked, loses its connection; the request fails with
    aiohttp.ClientError. The content itself is bounded by its reader.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._backlog = bytearray()
        self._is_scheduled = False
        self._lost: tuple[BaseException | None] | None = None  # the end of the connection, behind the backlog
        self._received = 0  # bytes of this response
        self._interim = 0
        self._has_head = False

    def set_response_params(self, **options: Any) -> None:
        self._received, self._interim, self._has_head = 0, 0, False
        super().set_response_params(**options)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Takes the head of a response from the parser."""
        if 100 <= data[0].code < 200 and data[0].code != 101:
            self._interim += 1
        else:
            self._has_head = True
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        if not data:  # aiohttp continues with what its parser holds
            super().data_received(data)
        elif self._backlog or len(data) > _SLICE_BYTES:
            self._backlog += data
            self._pause_transport_reading()
            if not self._is_scheduled:
                self._feed()
        else:
            self._take(data)

    def resume_reading(self, resume_parser: bool = True) -> None:
        if not (self._reading_paused or self._buffer_paused):
            return  # aiohttp calls this after each chunk that is read, and would call its parser with nothing
        super().resume_reading(resume_parser)
        if self._backlog and not self._is_scheduled:
            self._schedule()

    def _resume_transport_reading(self) -> None:
        if not self._backlog:
            super()._resume_transport_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._backlog and self.transport is not None:
            self._lost = (exc,)
        else:
            self._backlog.clear()
            super().connection_lost(exc)

    def _schedule(self) -> None:
        self._is_scheduled = True
        self._loop.call_soon(self._feed)

    def _feed(self) -> None:
        """Parses the next bytes of the backlog, then lets others run. The reader's own pause also holds here."""
        self._is_scheduled = False
        if self.transport is None:
            self._backlog.clear()
        elif self._backlog and not self._reading_paused:
            piece = bytes(self._backlog[:_SLICE_BYTES])
            del self._backlog[:_SLICE_BYTES]
            self._take(piece)
        if self._backlog:
            if not self._reading_paused:
                self._schedule()
        elif self._lost is not None:
            lost, self._lost = self._lost, None
            super().connection_lost(lost[0])
        elif not self._reading_paused and not self._buffer_paused:
            self._resume_transport_reading()

    def _take(self, piece: bytes) -> None:
        if self._has_head and (self._payload is None or self._payload.is_eof()):
            self._refuse("bytes without a request")
            return
        self._received += len(piece)
        super().data_received(piece)
        content = self._payload.total_bytes if self._payload is not None else 0
        if not self._has_head:
            if self._received > MAX_HEAD_BYTES or self._interim > MAX_INTERIM:
                self._refuse("headers without end")
        elif self._received - content > MAX_HEAD_BYTES + _MAX_FRAMING_BYTES + _FRAMING_PER_BYTE * content:
            self._refuse("more framing than content")

    def _refuse(self, reason: str) -> None:
        self._backlog.clear()
        error = HttpProcessingError(message=reason)
        self.set_exception(error)
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(aiohttp.ClientPayloadError(reason))
        if self.transport is not None:
            self.transport.abort()


class BoundedConnector(aiohttp.TCPConnector):
    """A connector whose connections are BoundedResponses."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        bounded = functools.partial(BoundedResponses, loop=self._loop)
        self._factory = cast("functools.partial[ResponseHandler]", bounded)


async def read_within(content: aiohttp.StreamReader, max_bytes: int) -> bytes:
    """The whole content. Raises ValueError over `max_bytes`."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise ValueError("content too large")
    return bytes(body)
