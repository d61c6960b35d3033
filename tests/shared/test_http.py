"""Where client nodes may live."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http import (
    ForbiddenAddressError,
    VettingResolver,
    close_sessions,
    embedded_address,
    is_allowed_address,
    node_session,
    session,
    vet_node_url,
)
from tests.fakes.openai import OpenAiHost

FORBIDDEN = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",  # noqa: S104 - refused, not bound
    "224.0.0.1",
    "255.255.255.255",
    "192.0.0.192",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "198.18.0.1",
    "192.88.99.1",
    "203.0.113.5",
    "240.0.0.1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::7f00:1",
    "fd20:ce::254",
    "fec0::1",
    "ff0e::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "localhost",
    "127.1",
    "",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_inside_addresses_are_refused_in_every_disguise(address: str) -> None:
    """Private, local, metadata and multicast addresses are refused, also mapped, translated and tunnelled."""
    assert not is_allowed_address(address, allow_private=False)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_public_addresses_are_allowed(address: str) -> None:
    """Ordinary hosts are reachable."""
    assert is_allowed_address(address, allow_private=False)


def test_a_laptop_may_allow_private_addresses_but_never_metadata() -> None:
    """ALLOW_PRIVATE_NODES opens loopback and private networks; the metadata service stays shut."""
    assert is_allowed_address("127.0.0.1", allow_private=True)
    assert is_allowed_address("192.168.1.1", allow_private=True)
    assert not is_allowed_address("169.254.169.254", allow_private=True)
    assert not is_allowed_address("::ffff:169.254.169.254", allow_private=True)
    assert not is_allowed_address("64:ff9b::a9fe:a9fe", allow_private=True)
    assert not is_allowed_address("168.63.129.16", allow_private=True)
    assert not is_allowed_address("fd00:ec2::254", allow_private=True)
    assert not is_allowed_address("fd20:ce::254", allow_private=True)


@given(st.ip_addresses(v=4))
def test_an_address_in_disguise_is_judged_as_what_it_stands_for(address: ipaddress.IPv4Address) -> None:
    """Mapped, translated or tunnelled, an IPv4 address is allowed nowhere that it is not allowed by itself."""
    number = int(address)
    for disguise in ((0xFFFF << 32) + number, (0x64FF9B << 96) + number, (0x2002 << 112) + (number << 80)):
        other = ipaddress.IPv6Address(disguise)
        assert embedded_address(other) == address
        for allow_private in (False, True):
            allowed = is_allowed_address(str(address), allow_private=allow_private)
            assert is_allowed_address(str(other), allow_private=allow_private) == allowed


@pytest.mark.parametrize(
    "url",
    [
        "http://node.example/v1",
        "ftp://node.example/v1",
        "https://node.example:22/v1",
        "https://user:pw@node.example/v1",
        "https://@node.example/v1",
        "https:///v1",
        "https://127.0.0.1/v1",
        "https://[::1]/v1",
        "https://[::ffff:10.0.0.1]/v1",
        "https://node.example:99999/v1",
        "https://node.example:80/v1",
        "https://user@node.example/v1",
        "https://node.example\\@127.0.0.1/v1",
        "https://\uff11\uff12\uff17.\uff10.\uff10.\uff11/v1",
        "https://127。0。0。1/v1",
        "https://[fe80::1%25eth0]/v1",
        "https://[64:ff9b::7f00:1]/v1",
        "//node.example/v1",
        "node.example",
        "file:///etc/passwd",
        "",
    ],
)
def test_urls_of_the_wrong_kind_are_refused(url: str) -> None:
    """Only https on its two ports, without credentials, to a host that is not a private address."""
    with pytest.raises(ForbiddenAddressError):
        vet_node_url(url, allow_private=False)


@pytest.mark.parametrize("url", ["https://node.example/v1", "https://node.example:8443/v1", "https://93.184.216.34/v1"])
def test_urls_of_the_right_kind_pass(url: str) -> None:
    """An https address on a usual port is fine."""
    vet_node_url(url, allow_private=False)


@pytest.mark.anyio
async def test_a_name_that_resolves_to_an_inside_address_is_refused() -> None:
    """What counts is where the name leads, not how it reads."""
    resolver = VettingResolver(allow_private=False)
    with pytest.raises(ForbiddenAddressError):
        await resolver.resolve("localhost", 443)


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
    """Numbers that the system would read as an address are vetted like one, and so is a literal address itself."""
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
    found = await VettingResolver(allow_private=True).resolve("localhost", 80, socket.AF_UNSPEC)
    assert all(ipaddress.ip_address(hit["host"]).is_loopback for hit in found)


@pytest.mark.anyio
@pytest.mark.parametrize("opened", [session, node_session], ids=["ours", "nodes"])
async def test_a_session_is_opened_once_and_again_after_it_was_closed(
    opened: Any, environ: Callable[..., None]
) -> None:
    """Importing opens nothing; the first use opens one session for the event loop, and closing it is not the end."""
    environ()
    first = opened()
    assert opened() is first
    await close_sessions()
    assert first.closed
    assert opened() is not first
    await close_sessions()


@pytest.mark.anyio
@pytest.mark.usefixtures("sessions")
async def test_no_proxy_cookie_or_compression_comes_from_outside(
    host: OpenAiHost, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment is not used, cookies are not kept, and nodes are asked for plain bytes."""
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
