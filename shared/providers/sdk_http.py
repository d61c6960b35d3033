"""The one HTTP client that both SDKs share, and what its failures mean; loaded with the first SDK, not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import httpx2

from shared import http
from shared.errors import ProviderError
from shared.providers.provider_errors import unreachable

Item = TypeVar("Item")

_clients: dict[asyncio.AbstractEventLoop, httpx2.AsyncClient] = {}
_opened: ContextVar[list[httpx2.Response] | None] = ContextVar("_opened", default=None)


def shared_client() -> httpx2.AsyncClient:
    """The running event loop's client, opened at first use. Times after connecting are the gateway's business."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients.clear()  # a loop that is gone cannot close what it left open
        http.at_close(_close)
        _clients[loop] = httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=http.CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=30),
            follow_redirects=False,
            trust_env=False,
            event_hooks={"request": [_bound_connecting], "response": [_remember]},
        )
    return _clients[loop]


async def _close() -> None:
    if client := _clients.pop(asyncio.get_running_loop(), None):
        await client.aclose()


async def _bound_connecting(request: httpx2.Request) -> None:
    """google-genai gives one number for connecting, reading and all the rest."""
    times = request.extensions.get("timeout") or {}
    request.extensions["timeout"] = times | {"connect": http.CONNECT_SECONDS, "pool": http.CONNECT_SECONDS}


async def _remember(response: httpx2.Response) -> None:
    if (opened := _opened.get()) is not None:
        opened.append(response)


async def first_of(items: AsyncIterator[Item], opened: list[httpx2.Response]) -> Item | None:
    """The first item, None at the end; the responses that asking for it opened go into `opened`, to be closed."""
    token = _opened.set(opened)
    try:
        return await anext(items, None)
    finally:
        _opened.reset(token)


@contextmanager
def transport_failures(provider: str) -> Iterator[None]:
    """Turns the client's failures, which both SDKs let through in the middle of a stream, into ProviderUnreachable."""
    try:
        yield
    except ProviderError:
        raise
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ExceptionGroup) as error:
        raise unreachable(provider) from error
