"""Hosts that send without end, before the headers and after them, and what the client takes of it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler

from shared.auth import SigningKeys
from shared.bounded_responses import read_within
from shared.errors import KeysUnavailable, NodeFailed
from shared.http import node_session, session
from shared.messages import Message, ModelRequest, Node
from shared.provider_config import OPENAI_COMPATIBLE
from shared.providers.openai_compatible import OpenAiCompatible

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("sessions")]
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
_OFFERED = 64 * 1024 * 1024
_TAKEN = 16 * 1024 * 1024  # with the buffers of both sides
_NODE = next(host for host in OPENAI_COMPATIBLE if host.is_node)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _headers() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    yield from (b"X-%d: %s\r\n" % (number, b"v" * 100) for number in itertools.count())


BEFORE = {
    "interim": lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 400),
    "headers": _headers,
    "one header": lambda: itertools.chain([b"HTTP/1.1 200 OK\r\nX-Long: "], itertools.repeat(b"v" * 1000)),
    "nothing": lambda: itertools.repeat(b"\r\n" * 4000),
}
AFTER = {
    "extension": lambda: itertools.chain([_HEAD, b"1;x="], itertools.repeat(b"e" * 1000)),
    "trailers": lambda: itertools.chain([_HEAD, b"0\r\n"], (b"T%d: v\r\n" % n for n in itertools.count())),
}
CONTENT = {
    "comments": lambda: itertools.chain([_HEAD], itertools.repeat(_chunk(b": on and on\n" * 300))),
    "empty lines": lambda: itertools.chain([_HEAD], itertools.repeat(_chunk(b"\n" * 4000))),
    "tiny chunks": lambda: itertools.chain([_HEAD], itertools.repeat(_chunk(b":") * 500)),
    "empty events": lambda: itertools.chain([_HEAD], itertools.repeat(_chunk(b"data: {}\n\n" * 300))),
    "one line": lambda: itertools.chain([_HEAD], itertools.repeat(_chunk(b"data: " + b"x" * 4000))),
    "no end": lambda: itertools.chain([_PLAIN], itertools.repeat(b'{"data": [' + b" " * 4000)),
}


class Flood:
    """A host that sends its pieces to each client, up to 64 MB, and knows how much was taken."""

    def __init__(self, pieces: Callable[[], Iterable[bytes]]) -> None:
        self.url, self.taken = "", 0
        self._pieces = pieces

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in self._pieces():
                writer.write(piece)
                await writer.drain()
                self.taken += len(piece)
                if self.taken > _OFFERED:
                    break
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def _flooding(pieces: Callable[[], Iterable[bytes]]) -> AsyncIterator[Flood]:
    flood = Flood(pieces)
    server = await asyncio.start_server(flood.answer, "127.0.0.1", 0)
    flood.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield flood
    finally:
        server.close()


@pytest.fixture(autouse=True)
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each call of the parser got."""
    sizes: list[int] = []
    original = ResponseHandler.data_received

    def data_received(self: ResponseHandler, data: bytes) -> None:
        sizes.append(len(data))
        original(self, data)

    monkeypatch.setattr(ResponseHandler, "data_received", data_received)
    return sizes


async def _body(url: str) -> bytes:
    async with asyncio.timeout(30), session().get(url, allow_redirects=False) as response:
        return await response.read()


@pytest.mark.parametrize("kind", [*BEFORE, *AFTER])
async def test_what_carries_no_content_has_a_bound(kind: str, environ: Callable[..., None], parsed: list[int]) -> None:
    """Interim responses, headers, chunk extensions and trailers without end lose the connection early."""
    environ()
    async with _flooding((BEFORE | AFTER)[kind]) as flood:
        with pytest.raises(aiohttp.ClientError):
            await _body(flood.url)
    assert flood.taken < _TAKEN
    assert max(parsed) <= 8192


@pytest.mark.parametrize("kind", [*BEFORE, *AFTER, *CONTENT])
async def test_a_node_without_end_fails_early(kind: str, environ: Callable[..., None], parsed: list[int]) -> None:
    """Chat and probe end with NodeFailed after a few MB, and at most 8 KB are parsed at once."""
    environ(ALLOW_PRIVATE_NODES="on")
    async with _flooding((BEFORE | AFTER | CONTENT)[kind]) as flood:
        node = Node(7, flood.url, has_key=False)
        request = ModelRequest("m", (Message("user", "Hi"),), 100, None, node=node)
        with pytest.raises(NodeFailed):
            async with asyncio.timeout(60):
                _ = [event async for event in OpenAiCompatible(_NODE).stream(request)]
        assert flood.taken < _TAKEN
        flood.taken = 0
        with pytest.raises(NodeFailed):
            async with asyncio.timeout(60):
                await OpenAiCompatible(_NODE).list_models(node)
        assert flood.taken < _TAKEN
    assert max(parsed) <= 8192


@pytest.mark.parametrize("kind", [*BEFORE, "no end"])
async def test_keys_without_end_are_no_keys(kind: str, environ: Callable[..., None]) -> None:
    """The fetch of signing keys has the same bounds."""
    environ()
    async with _flooding((BEFORE | CONTENT)[kind]) as flood:
        with pytest.raises(KeysUnavailable):
            await SigningKeys(lambda: flood.url).get("kid")
    assert flood.taken < _TAKEN


async def test_a_response_in_large_pieces_arrives_whole(environ: Callable[..., None], parsed: list[int]) -> None:
    """What is parsed piece by piece is complete, also when the host closes the connection at once."""
    environ()
    sent = json.dumps(list(range(300_000))).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_PLAIN + sent)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    assert await _body(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") == sent
    server.close()
    assert max(parsed) <= 8192


async def test_bytes_without_a_request_end_the_connection(environ: Callable[..., None]) -> None:
    """A connection that is kept for the next request takes no second response."""
    environ(ALLOW_PRIVATE_NODES="on")
    received, ended = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        writer.write(response)
        try:
            await received.wait()
            while True:
                writer.write(response * 100)
                await writer.drain()
        except ConnectionError:
            ended.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with node_session().get(url) as response:
        assert await read_within(response.content, 2) == b"ok"
    received.set()
    async with asyncio.timeout(10):
        await ended.wait()
    server.close()


async def test_content_over_its_bound_is_an_error(environ: Callable[..., None]) -> None:
    """`read_within` takes what fits and refuses one byte more."""
    environ()
    async with (
        _flooding(lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"]) as flood,
        session().get(flood.url) as response,
    ):
        with pytest.raises(ValueError, match="too large"):
            await read_within(response.content, 2)
