"""The HTTP sessions, and the guard of the one for client nodes."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from shared.http import (
    GuardedResolver,
    close_sessions,
    node_session,
    session,
)
from shared.node_addresses import ForbiddenAddressError
from tests.fakes.openai import OpenAiHost


@pytest.mark.anyio
async def test_a_name_that_resolves_to_an_internal_address_is_rejected() -> None:
    """The resolved address counts, not the name."""
    resolver = GuardedResolver(allow_private=False)
    with pytest.raises(ForbiddenAddressError):
        await resolver.resolve("localhost", 443)


@pytest.mark.anyio
@pytest.mark.parametrize("addresses", [("8.8.8.8", "10.0.0.1"), ("10.0.0.1", "8.8.8.8")])
async def test_a_name_with_a_public_and_an_internal_address_is_rejected(
    addresses: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One internal address rejects the name, in either order of the answer."""

    def answer(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    with pytest.raises(ForbiddenAddressError):
        await GuardedResolver(allow_private=False).resolve("mixed.example", 443)


@pytest.mark.anyio
@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "\uff121\uff130706433",
        "2130706433",
        "0x7f000001",
        "127.1",
        "017700000001",
        "127。0。0。1",
    ],
)
async def test_odd_spellings_of_loopback_do_not_get_a_connection(host: str, environ: Callable[..., None]) -> None:
    """Numbers that the system reads as an address are checked like one, and so is a literal address."""
    environ()
    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises((aiohttp.ClientError, OSError)):
        await node_session().get(f"http://{host}:{port}/", timeout=aiohttp.ClientTimeout(total=5))
    server.close()
    assert connections == []


@pytest.mark.anyio
async def test_every_address_of_a_name_must_be_allowed() -> None:
    """On a laptop localhost is allowed and resolves to loopback addresses only."""
    found = await GuardedResolver(allow_private=True).resolve("localhost", 80, socket.AF_UNSPEC)
    assert all(ipaddress.ip_address(hit["host"]).is_loopback for hit in found)


@pytest.mark.anyio
@pytest.mark.parametrize("opened", [session, node_session], ids=["ours", "nodes"])
async def test_a_session_is_opened_once_and_again_after_it_was_closed(
    opened: Any, environ: Callable[..., None]
) -> None:
    """The first use opens one session per event loop; a use after its end opens a new one."""
    environ()
    first = opened()
    assert opened() is first
    await close_sessions()
    assert first.closed
    assert opened() is not first
    await close_sessions()


@pytest.mark.anyio
@pytest.mark.usefixtures("sessions")
async def test_sessions_ignore_proxies_cookies_and_compression(
    host: OpenAiHost, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment is not used, cookies are not kept, and requests to nodes accept no compression."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    environ(ALLOW_PRIVATE_NODES="1")
    host.headers = {"Set-Cookie": "seen=1; Path=/"}
    for _ in range(2):
        async with node_session().get(host.url.replace("127.0.0.1", "localhost"), allow_redirects=False) as response:
            assert response.status == 200
    assert [("cookie" in each.headers, each.headers["accept-encoding"]) for each in host.received] == [
        (False, "identity"),
        (False, "identity"),
    ]
