"""A load generator on loopback: callers that each send their next request when the last response has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import cast

import httptools

from bench.upstream import MARK

_END_SECONDS = 60.0
_MAX_ERRORS = 50


class Load:
    """What the callers of one target have seen so far; times are in milliseconds."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.port = port
        self.latencies_ms: list[float] = []
        self.first_token_ms: list[float] = []
        self.tokens = 0
        self.errors: list[str] = []
        self.is_ending = False
        self.started = time.perf_counter()
        self._requests = requests
        self._callers: list[_Caller] = []

    async def open(self, callers: int, ramp_seconds: float = 0.0) -> None:
        """Connects the callers and sends the first request of each, evenly over the ramp."""
        loop = asyncio.get_running_loop()
        for number in range(callers):
            caller = _Caller(self, self._requests[number % len(self._requests)])
            await self._connect(caller)
            self._callers.append(caller)
        self.started = time.perf_counter()
        for number, caller in enumerate(self._callers):
            loop.call_later(ramp_seconds * number / callers, caller.ask)

    async def _connect(self, caller: _Caller) -> None:
        await asyncio.get_running_loop().create_connection(lambda: caller, "127.0.0.1", self.port)

    async def wait_until_all_have_begun(self, max_seconds: float) -> None:
        """Returns when each caller has received its first token, at the latest after `max_seconds`."""
        deadline = time.perf_counter() + max_seconds
        while not all(caller.has_begun for caller in self._callers) and time.perf_counter() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    async def end(self) -> float:
        """Waits for the responses that have begun; the seconds since the first request."""
        self.is_ending = True
        deadline = time.perf_counter() + _END_SECONDS
        while any(caller.is_waiting for caller in self._callers) and time.perf_counter() < deadline:  # noqa: ASYNC110
            # An event would cost more: it would be set after each response.
            await asyncio.sleep(0.002)
        took = time.perf_counter() - self.started
        if any(caller.is_waiting for caller in self._callers):
            self.fail(f"no response within {_END_SECONDS:.0f} s")
        self.hang_up()
        return took

    def hang_up(self) -> None:
        """Closes all connections, in the middle of a response, too."""
        self.is_ending = True
        for caller in self._callers:
            caller.close()

    def fail(self, reason: str) -> None:
        """Counts an error; a load of many errors and no response ends."""
        self.errors.append(reason)
        self.is_ending = self.is_ending or (len(self.errors) >= _MAX_ERRORS and not self.latencies_ms)


class _Caller(asyncio.Protocol):
    def __init__(self, load: Load, request: bytes) -> None:
        self.is_waiting = self.has_begun = False
        self._load = load
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._asked = self._first = 0.0
        self._error = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.is_waiting and not self._load.is_ending:
            self._load.fail(f"the connection was lost: {exc}")
        self.is_waiting = False

    def ask(self) -> None:
        """Sends the request, unless the load ends."""
        if self._load.is_ending:
            return
        if self._transport is None:
            self._load.fail("the server closed the connection")
            return
        self._parser = httptools.HttpResponseParser(self)
        self.is_waiting, self._first, self._error = True, 0.0, b""
        self._asked = time.perf_counter()
        self._transport.write(self._request)

    def close(self) -> None:
        self.is_waiting = False
        if self._transport:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        if self._parser.get_status_code() != 200:
            self._error += body
            return
        tokens = body.count(MARK)
        if tokens:
            self._first = self._first or time.perf_counter()
            self.has_begun = True
            self._load.tokens += tokens

    def on_message_complete(self) -> None:
        now, status = time.perf_counter(), self._parser.get_status_code()
        self.is_waiting = False
        if status == 200:
            self._load.latencies_ms.append((now - self._asked) * 1000)
            self._load.first_token_ms.append(((self._first or now) - self._asked) * 1000)
        else:
            self._load.fail(f"{status}: {self._error[:200].decode(errors='replace')}")
        # The parser must return before it is replaced.
        asyncio.get_running_loop().call_soon(self.ask)
