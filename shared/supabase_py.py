"""The supabase-py client with the service key, one per event loop, for work outside of turns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from postgrest import APIError

from shared.config import settings
from shared.database_errors import is_busy
from shared.errors import DatabaseBusy, DatabaseUnavailable
from shared.per_loop import PerLoop
from supabase import AsyncClient, AsyncClientOptions, acreate_client

_TIMEOUT_SECONDS = 10.0
_clients: PerLoop[dict[str, AsyncClient]] = PerLoop(dict)  # by its key


async def service_client() -> AsyncClient:
    """The client with the service key. Do not sign a user in on it: that replaces its authorization."""
    key = settings().require("SUPABASE_SERVICE_KEY")
    clients = _clients()
    if key not in clients:
        clients.clear()  # the client of a replaced key
        options = AsyncClientOptions(
            auto_refresh_token=False,
            persist_session=False,
            postgrest_client_retry=False,
            httpx_client=httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False),
        )
        clients[key] = await acreate_client(settings().supabase_url, key, options)
    return clients[key]


@contextmanager
def database_errors() -> Iterator[None]:
    """Converts supabase-py's failures to DatabaseUnavailable, without the database's message."""
    try:
        yield
    except (APIError, httpx.HTTPError) as error:
        code = error.code if isinstance(error, APIError) else type(error).__name__
        kind = DatabaseBusy if is_busy(code) else DatabaseUnavailable
        raise kind(
            "The database did not do what refresh needs.", retry_after_seconds=30, metadata={"code": code}
        ) from error
