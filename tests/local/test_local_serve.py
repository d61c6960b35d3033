"""Deadlines for the heads of requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from local import serve as module
from local.serve import TimedProtocol

pytestmark = pytest.mark.anyio
_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(body)(scope, receive, send)


@pytest.fixture
async def connection(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connection]:
    """A connection to a server whose heads have a fifth of a second."""
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.2)
    config = uvicorn.Config(_echo, http=TimedProtocol, lifespan="off", log_config=None)
    config.load()
    state = uvicorn.server.ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: TimedProtocol(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    yield reader, writer
    writer.close()
    server.close()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(b"body"), 10)


@pytest.mark.parametrize("sent", [b"", b"P", _HEAD[:-2]])
async def test_a_connection_without_a_whole_head_is_closed(connection: Connection, sent: bytes) -> None:
    """Half a head, and none at all, do not keep a connection."""
    reader, writer = connection
    writer.write(sent)
    assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_the_body_has_a_time_of_its_own(connection: Connection) -> None:
    """A request whose head is whole is not closed, however late its body."""
    reader, writer = connection
    writer.write(_HEAD)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.5)
    writer.write(b"body")
    assert b"200 OK" in await _answer(reader)


async def test_an_idle_connection_is_kept_for_a_further_head(connection: Connection) -> None:
    """The time of a further head begins with its first byte."""
    reader, writer = connection
    writer.write(_HEAD + b"body")
    await _answer(reader)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.5)
    writer.write(_HEAD + b"body")
    await _answer(reader)
    writer.write(_HEAD[:9])
    assert await asyncio.wait_for(reader.read(), 10) == b""
