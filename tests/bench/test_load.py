"""The load generator, against the scripted upstream in the same event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bench.load import Load
from bench.targets import Target
from bench.upstream import Script, open_server

pytestmark = pytest.mark.anyio
_WHOLE, _STREAM, _ENDLESS = Script(0, 4, 0), Script(1, 4, 1), Script(0, 100_000, 1)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the load has no events: they would cost time
            await asyncio.sleep(0)


async def _run(script: Script, callers: int, enough: int, *, stream: bool) -> Load:
    """The load after at least so many responses."""
    async with await open_server() as server:
        port = server.sockets[0].getsockname()[1]
        load = Load(port, Target("upstream", port).requests(script, stream=stream))
        await load.open(callers)
        await _until(lambda: len(load.latencies_ms) + len(load.errors) >= enough)
        await load.end()
    return load


@pytest.mark.parametrize(("script", "stream"), [(_WHOLE, False), (_WHOLE, True), (_STREAM, True)])
async def test_every_token_of_every_response_is_counted(script: Script, stream: bool) -> None:
    """Each caller repeats its request, and nothing is lost when the load ends."""
    load = await _run(script, 3, 9, stream=stream)
    assert load.errors == []
    assert load.tokens == 4 * len(load.latencies_ms)
    assert len(load.first_token_ms) == len(load.latencies_ms) >= 9


async def test_the_first_token_comes_before_the_end() -> None:
    """The time to the first token is that of the first piece with a token."""
    load = await _run(_STREAM, 1, 3, stream=True)
    assert all(first < whole for first, whole in zip(load.first_token_ms, load.latencies_ms, strict=True))


async def test_an_error_is_kept_with_its_text() -> None:
    """A response other than 200 is an error, never a latency; a load of errors alone ends."""
    async with await open_server() as server:
        port = server.sockets[0].getsockname()[1]
        load = Load(port, [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n" + b'{"model":"none"}'[:15]])
        await load.open(1)
        await _until(lambda: load.is_ending)
        await load.end()
    assert load.latencies_ms == []
    assert load.errors[0].startswith("400: ")


async def test_hanging_up_leaves_nothing_open() -> None:
    """Long streams end when the load hangs up, and count as neither response nor error."""
    async with await open_server() as server:
        port = server.sockets[0].getsockname()[1]
        load = Load(port, Target("upstream", port).requests(_ENDLESS, stream=True))
        await load.open(5)
        await _until(lambda: load.tokens >= 50)
        load.hang_up()
        await load.end()
    assert (load.latencies_ms, load.errors) == ([], [])
