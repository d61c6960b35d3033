"""supabase-py as the service, for what is not per chat; one client an event loop, over one HTTP client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from postgrest import APIError

from shared.config import settings
from shared.errors import DatabaseUnavailable
from supabase import AsyncClient, AsyncClientOptions, acreate_client

_TIMEOUT_SECONDS = 10.0
_clients: dict[tuple[asyncio.AbstractEventLoop, str], AsyncClient] = {}


async def service_client() -> AsyncClient:
    """The client with the service's key. Never sign anyone in on it: that would replace its authorization."""
    key = settings().require("SUPABASE_SERVICE_KEY")
    mine = (asyncio.get_running_loop(), key)
    if mine not in _clients:
        _clients.clear()  # a loop that is gone cannot close what it left open; a key that was replaced is of no use
        options = AsyncClientOptions(
            auto_refresh_token=False,
            persist_session=False,
            postgrest_client_retry=False,
            httpx_client=httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False),
        )
        _clients[mine] = await acreate_client(settings().supabase_url, key, options)
    return _clients[mine]


@contextmanager
def database_errors() -> Iterator[None]:
    """Turns supabase-py's failures into DatabaseUnavailable, without the database's words."""
    try:
        yield
    except (APIError, httpx.HTTPError) as error:
        code = error.code if isinstance(error, APIError) else type(error).__name__
        raise DatabaseUnavailable(
            "The database did not do what refresh needs.", retry_after_seconds=30, metadata={"code": code}
        ) from error
