"""Our own HTTP client: one lazy aiohttp session for hosts we trust, one guarded session for client nodes."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from shared.config import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

CONNECT_SECONDS = 3.0
_NODE_PORTS = {443, 8443}
_NEVER = [
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local, and every cloud's metadata service
        "168.63.129.16/32",  # Azure's wire server, a public address that answers only from inside
        "fd00:ec2::/32",  # AWS metadata over IPv6
        "fd20:ce::254/128",  # Google Cloud metadata over IPv6
        "fe80::/10",
        "100.100.100.200/32",  # Alibaba Cloud's metadata
        "192.0.0.192/32",  # Oracle Cloud's
        "0.0.0.0/32",
        "::/128",
        "255.255.255.255/32",
        "224.0.0.0/4",
        "ff00::/8",
    )
]
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = [  # which is_global of Python 3.11.7 takes for public; IANA's special-purpose registries, read 2026-11-21
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; Oracle Cloud's metadata service was 192.0.0.192
        "192.88.99.0/24",
        "3fff::/20",
    )
]
_STANDS_FOR_IPV4 = [  # in their last 32 bits: NAT64, its local form, IPv4-translated and IPv4-compatible
    ipaddress.ip_network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")
]


class ForbiddenAddressError(OSError):
    """A client node whose address or URL we do not connect to."""


def embedded_address(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, NAT64, 6to4, Teredo), else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped or address.sixtofour:
            return address.ipv4_mapped or address.sixtofour or address
        if address.teredo:
            return address.teredo[1]
        is_own = address.is_loopback or address.is_unspecified
        if not is_own and any(address in network for network in _STANDS_FOR_IPV4):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_allowed_address(text: str, *, allow_private: bool) -> bool:
    """Whether a client node may live at this IP address; False for what is no IP address."""
    try:
        real = embedded_address(ipaddress.ip_address(text.split("%", 1)[0]))
    except ValueError:
        return False
    if any(real in network for network in _NEVER):
        return False
    if allow_private:
        return True
    is_unicast = not real.is_multicast and (real.version == 4 or real in _GLOBAL_UNICAST)
    return is_unicast and real.is_global and not any(real in network for network in _NOT_PUBLIC)


def vet_node_url(url: str, *, allow_private: bool) -> None:
    """Raises ForbiddenAddressError for a node URL with a wrong scheme, port, userinfo or literal address."""
    try:
        parts = URL(url)  # as the client reads it: another parser may see a name where it sees 127.0.0.1
        host = parts.host
    except ValueError as error:
        raise ForbiddenAddressError("malformed URL") from error
    if not host or "@" in url.partition("://")[2].partition("/")[0]:
        raise ForbiddenAddressError("no host, or credentials in the URL")
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise ForbiddenAddressError("scheme not allowed")
    if parts.port not in _NODE_PORTS and not allow_private:
        raise ForbiddenAddressError("port not allowed")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return  # a name; its addresses are vetted when it is resolved
    if not is_allowed_address(host, allow_private=allow_private):
        raise ForbiddenAddressError("address not allowed")


class VettingResolver(AbstractResolver):
    """Resolves a name once and lets only vetted addresses through: the connection goes where the check looked."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not found or not all(is_allowed_address(hit["host"], allow_private=self._allow_private) for hit in found):
            raise ForbiddenAddressError("address not allowed")
        return found

    async def close(self) -> None:
        await self._resolver.close()


class _Lazy:
    """A session of the running event loop, opened at first use; importing this module opens nothing."""

    def __init__(self, connector: Callable[[], aiohttp.TCPConnector], **options: Any) -> None:
        self._connector, self._options = connector, options
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __call__(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                **self._options,
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None and self._loop is asyncio.get_running_loop():
            await self._session.close()


def _guarded_connector() -> aiohttp.TCPConnector:
    allow_private = settings().is_on("ALLOW_PRIVATE_NODES")

    def vetted_socket(info: aiohttp.AddrInfoType) -> socket.socket:
        """The last look, at the very address: a literal one never passes the resolver."""
        family, kind, protocol, _, address = info
        if not is_allowed_address(str(address[0]), allow_private=allow_private):
            raise ForbiddenAddressError("address not allowed")
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(
        limit=0,
        resolver=VettingResolver(allow_private=allow_private),
        socket_factory=vetted_socket,
        ttl_dns_cache=30,
    )


session = _Lazy(lambda: aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=30))
"""For Supabase and the providers we configured ourselves. Redirects are refused at every call."""

node_session = _Lazy(_guarded_connector, auto_decompress=False, headers={"Accept-Encoding": "identity"})
"""For client nodes: vetted addresses only, no decompression."""


_closers: dict[asyncio.AbstractEventLoop, list[Callable[[], Awaitable[None]]]] = {}


def at_close(close: Callable[[], Awaitable[None]]) -> None:
    """Has `close_sessions` close another client of the running event loop as well."""
    _closers.setdefault(asyncio.get_running_loop(), []).append(close)


async def close_sessions() -> None:
    """Closes what the running event loop has open."""
    await session.close()
    await node_session.close()
    for close in _closers.pop(asyncio.get_running_loop(), []):
        await close()
