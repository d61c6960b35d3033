"""Every host that speaks OpenAI's chat completions: a row each, over our own HTTP client."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import aiohttp

from shared import http
from shared.config import settings
from shared.errors import (
    ProviderAuthFailed,
    ProviderError,
    ProviderOverloaded,
    ProviderRefused,
    ProviderUnreachable,
)
from shared.events import Call, ModelEvent
from shared.providers.chat_completions import ChunkParser, read_model_list, request_body
from shared.providers.contract import ListedModel
from shared.sse import SseDecoder

_MAX_BODY_BYTES = 16 * 1024 * 1024
_NONSENSE = (ValueError, AttributeError, TypeError, KeyError, OverflowError, RecursionError)
_NODE_FAILED = "The client node could not be reached or did not answer as expected."


@dataclass(frozen=True, slots=True)
class Host:
    """One row: where a host lives, which variables configure it. A client node has neither: its calls say where."""

    name: str
    base_url: str = ""
    base_url_variable: str = ""
    key_variable: str = ""

    @property
    def is_node(self) -> bool:
        return not self.base_url


class OpenAiCompatible:
    """The provider contract for one Host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def stream(self, call: Call) -> AsyncGenerator[ModelEvent, None]:
        async with aclosing(self._bytes("POST", "/chat/completions", call.base_url, request_body(call))) as chunks:
            decoder, parser = SseDecoder(), ChunkParser()
            try:
                async for chunk in chunks:
                    for data in decoder.feed(chunk):
                        for event in parser.feed(data):
                            yield event
                    if parser.is_done:
                        break
                for event in parser.finish():
                    yield event
            except _NONSENSE as error:
                raise ProviderError(self._said("answered with something that is not a chat stream")) from error

    async def list_models(self, base_url: str | None = None) -> list[ListedModel]:
        async with aclosing(self._bytes("GET", "/models", base_url)) as chunks:
            body = b""
            async for chunk in chunks:
                body += chunk
                if len(body) > _MAX_BODY_BYTES:
                    raise ProviderError(self._said("sent a model list that is too long"))
        try:
            return read_model_list(json.loads(body))
        except _NONSENSE as error:
            raise ProviderError(self._said("answered with something that is not a model list")) from error

    async def check(self, base_url: str | None = None) -> None:
        await self.list_models(base_url)

    async def _bytes(
        self, method: str, path: str, base_url: str | None, body: dict[str, Any] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The answer's bytes as they arrive; raises for anything but a 200. Times are the gateway's business."""
        session = http.node_session() if self._host.is_node else http.session()
        try:
            url = self._url(base_url) + path
            async with session.request(
                method, url, json=body, headers=self._headers(), allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise await self._refusal(response)
                if response.headers.get("Content-Encoding", "identity") != "identity" and self._host.is_node:
                    raise ProviderError(_NODE_FAILED)
                async for chunk in _chunks(response):
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ProviderUnreachable(self._said("could not be reached"), open_seconds=10) from error

    def _url(self, base_url: str | None) -> str:
        if self._host.is_node:
            http.vet_node_url(base_url or "", allow_private=settings().is_on("ALLOW_PRIVATE_NODES"))
            return (base_url or "").rstrip("/")
        return settings().get(self._host.base_url_variable, self._host.base_url).rstrip("/")

    def _headers(self) -> dict[str, str]:
        if not self._host.key_variable:
            return {}
        return {"Authorization": f"Bearer {settings().require(self._host.key_variable)}"}

    def _said(self, what: str) -> str:
        return _NODE_FAILED if self._host.is_node else f"The provider {self._host.name} {what}."

    async def _refusal(self, response: aiohttp.ClientResponse) -> ProviderError:
        status, retry_after = response.status, _seconds(response.headers.get("Retry-After"))
        details: dict[str, Any] = {"upstream_status": status, "retry_after_seconds": retry_after}
        if status in {401, 402, 403}:
            return ProviderAuthFailed(self._said("does not accept our key or account"), open_seconds=300, **details)
        if status in {408, 409, 425, 429, 503, 529}:
            return ProviderOverloaded(self._said("is overloaded"), open_seconds=retry_after, **details)
        if status >= 500:
            return ProviderError(self._said("failed"), **details)
        return ProviderRefused(self._said("refused this request"), **details)


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None  # an HTTP date; no provider sends one to a chat call
    return max(0.0, seconds) if math.isfinite(seconds) else None


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    while chunk := await response.content.readany():
        yield chunk
