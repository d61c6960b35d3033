"""The HTTP client that both SDKs share, and its errors; loaded with the first SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import httpx2

from shared import http
from shared.errors import ProviderError
from shared.per_loop import PerLoop
from shared.providers.provider_errors import unreachable
from shared.tracing import outgoing_headers

Item = TypeVar("Item")

_on_bytes: ContextVar[Callable[[], None] | None] = ContextVar("_on_bytes", default=None)
_opened: ContextVar[list[httpx2.Response] | None] = ContextVar("_opened", default=None)


def _opened_client() -> httpx2.AsyncClient:
    http.at_close(_close)
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(None, connect=http.CONNECT_SECONDS),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=30),
        follow_redirects=False,
        trust_env=False,
        event_hooks={"request": [_bound_connecting, _pass_trace_on], "response": [_remember]},
    )


shared_client = PerLoop(_opened_client)
"""The client of the running event loop, opened at first use; only connecting has a timeout here."""


async def _close() -> None:
    if client := shared_client.pop():
        await client.aclose()


async def _bound_connecting(request: httpx2.Request) -> None:
    """Limits connecting alone, as google-genai sets one timeout for everything."""
    times = request.extensions.get("timeout") or {}
    request.extensions["timeout"] = times | {"connect": http.CONNECT_SECONDS, "pool": http.CONNECT_SECONDS}


async def _pass_trace_on(request: httpx2.Request) -> None:
    request.headers.update(outgoing_headers())


async def _remember(response: httpx2.Response) -> None:
    if (opened := _opened.get()) is not None:
        opened.append(response)
    on_bytes = _on_bytes.get()
    if on_bytes is not None and response.status_code == 200 and isinstance(response.stream, httpx2.AsyncByteStream):
        on_bytes()
        response.stream = _Watched(response.stream, on_bytes)


class _Watched(httpx2.AsyncByteStream):
    """A response's bytes, each read reported, because the SDKs drop pings and comments.

    Closing the response closes the generators, which the SDKs would leave to the garbage collector when a stream ends
    early.
    """

    def __init__(self, stream: httpx2.AsyncByteStream, on_bytes: Callable[[], None]) -> None:
        self._stream, self._on_bytes = stream, on_bytes
        self._chunks: AsyncGenerator[bytes, None] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._chunks = self._read()
        return self._chunks

    async def _read(self) -> AsyncGenerator[bytes, None]:
        chunks = aiter(self._stream)
        try:
            async for chunk in chunks:
                self._on_bytes()
                yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def aclose(self) -> None:
        if self._chunks is not None:
            await self._chunks.aclose()
        await self._stream.aclose()


@contextmanager
def reporting(on_bytes: Callable[[], None]) -> Iterator[None]:
    """Reports the bytes of responses that are opened within; not to be used around a yield."""
    token = _on_bytes.set(on_bytes)
    try:
        yield
    finally:
        _on_bytes.reset(token)


async def first_of(items: AsyncIterator[Item], opened: list[httpx2.Response]) -> Item | None:
    """The first item, or None; adds the responses that this opens to `opened`, so that the caller closes them."""
    token = _opened.set(opened)
    try:
        return await anext(items, None)
    finally:
        _opened.reset(token)


@contextmanager
def transport_failures(provider: str) -> Iterator[None]:
    """Converts the HTTP client's errors, which both SDKs pass on inside a stream, to ProviderUnreachable."""
    try:
        yield
    except ProviderError:
        raise
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ExceptionGroup) as error:
        raise unreachable(provider) from error
