"""The HTTP client: one lazy aiohttp session for trusted hosts, and a guarded one for client nodes."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from shared.bounded_responses import BoundedConnector
from shared.config import settings
from shared.lenient_json import write_json
from shared.node_addresses import ForbiddenAddressError, is_allowed_address
from shared.per_loop import PerLoop

CONNECT_SECONDS = 3.0


class GuardedResolver(AbstractResolver):
    """Resolves a name once and returns only allowed addresses, so that the connection goes to a checked address."""

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
    """A session for each event loop, opened at first use and closed by `close_sessions` only."""

    def __init__(self, connector: Callable[[], aiohttp.TCPConnector], **options: Any) -> None:
        self._connector, self._options = connector, options
        self._sessions = PerLoop(self._opened)

    def __call__(self) -> aiohttp.ClientSession:
        return self._sessions()

    async def close(self) -> None:
        if found := self._sessions.pop():
            await found.close()

    def _opened(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            json_serialize_bytes=write_json,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            **self._options,
        )


def _guarded_connector() -> aiohttp.TCPConnector:
    allow_private = settings().is_on("ALLOW_PRIVATE_NODES")

    def guarded_socket(info: aiohttp.AddrInfoType) -> socket.socket:
        """Checks the address itself, because a literal address does not pass the resolver."""
        family, kind, protocol, _, address = info
        if not is_allowed_address(str(address[0]), allow_private=allow_private):
            raise ForbiddenAddressError("address not allowed")
        return socket.socket(family, kind, protocol)

    return BoundedConnector(
        limit=0,
        resolver=GuardedResolver(allow_private=allow_private),
        socket_factory=guarded_socket,
        ttl_dns_cache=30,
    )


session = _Lazy(lambda: BoundedConnector(limit=0, ttl_dns_cache=60, keepalive_timeout=30))
"""For Supabase and configured providers. Every call refuses redirects."""

node_session = _Lazy(_guarded_connector, auto_decompress=False, headers={"Accept-Encoding": "identity"})
"""For client nodes: allowed addresses only, no decompression."""


_closers: PerLoop[list[Callable[[], Awaitable[None]]]] = PerLoop(list)


def at_close(close: Callable[[], Awaitable[None]]) -> None:
    """Registers a client of the running event loop for `close_sessions`."""
    _closers().append(close)


async def close_sessions() -> None:
    """Closes the sessions and registered clients of the running event loop."""
    await session.close()
    await node_session.close()
    for close in _closers.pop() or []:
        await close()
