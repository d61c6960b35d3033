"""The client of every host with OpenAI's chat completions, over our own HTTP client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Any

import aiohttp

from shared import http, ledger_calls, supabase
from shared.config import settings
from shared.errors import ContextLengthExceeded, NodeFailed, ProviderError
from shared.events import ModelEvent, merge_pieces
from shared.messages import ModelRequest, Node
from shared.node_addresses import validate_node_url
from shared.provider_config import ProviderConfig
from shared.providers.chat_completions import ChunkParser, read_model_list, request_body
from shared.providers.contract import ListedModel
from shared.providers.openai_responses import PATH as RESPONSES_PATH
from shared.providers.openai_responses import EventParser
from shared.providers.openai_responses import request_body as responses_body
from shared.providers.provider_errors import (
    PARSE_ERRORS,
    error_for_status,
    is_page,
    malformed_response,
    retry_after_seconds,
    unreachable,
)
from shared.providers.refusals import read_refusal
from shared.sse import SseDecoder
from shared.tracing import outgoing_headers

_MAX_LIST_BYTES = 16 * 1024 * 1024
_MAX_NODE_LIST_BYTES = 256 * 1024  # untrusted; some hundred models, parsed in a few milliseconds
_MAX_ANSWER_BYTES = 256 * 1024 * 1024  # a chunk of one token takes a few hundred bytes
_MAX_NODE_EVENT_BYTES = 256 * 1024
_NODE_BYTES, _NODE_BYTES_PER_TOKEN = 1024 * 1024, 2048
_PIECE_BYTES, _NODE_PIECE_BYTES = 1024 * 1024, 8 * 1024
_MAX_ERROR_BYTES = 64 * 1024


class OpenAiCompatible:
    """The Provider for one row of OPENAI_COMPATIBLE."""

    def __init__(self, host: ProviderConfig) -> None:
        self._host = host

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        body, path, parser = self._protocol(request)
        with self._failures("a chat stream"):
            max_bytes = _MAX_ANSWER_BYTES
            if self._host.is_node:
                max_bytes = min(max_bytes, _NODE_BYTES + _NODE_BYTES_PER_TOKEN * request.max_output_tokens)
            chunks_of = self._bytes("POST", path, request.node, body, request.on_bytes, max_bytes=max_bytes)
            async with aclosing(chunks_of) as chunks:
                decoder = SseDecoder(_MAX_NODE_EVENT_BYTES) if self._host.is_node else SseDecoder()
                async for chunk in chunks:
                    request.on_bytes()
                    for event in merge_pieces(each for data in decoder.feed(chunk) for each in parser.feed(data)):
                        yield event
                    if parser.is_done:
                        break
                else:
                    for event in _tail_of(decoder, parser):
                        yield event
                for event in parser.finish():
                    yield event

    def _protocol(self, request: ModelRequest) -> tuple[dict[str, Any], str, ChunkParser | EventParser]:
        """The body, the path and the parser of the answer."""
        if request.uses_responses:
            return responses_body(request), RESPONSES_PATH, EventParser(self._host.name)
        body = request_body(request, self._host.limit_field or "max_tokens", self._host.name)
        return body, "/chat/completions", ChunkParser(self._host.name, has_tools=bool(request.tools))

    async def list_models(self, node: Node | None = None) -> list[ListedModel]:
        with self._failures("a model list"):
            body = bytearray()
            max_bytes = _MAX_NODE_LIST_BYTES if self._host.is_node else _MAX_LIST_BYTES
            async with aclosing(self._bytes("GET", "/models", node, max_bytes=max_bytes)) as chunks:
                async for chunk in chunks:
                    body += chunk
            return read_model_list(json.loads(body))

    async def check(self, node: Node | None = None) -> None:
        await self.list_models(node)

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        """Converts every failure to a ProviderError; those of a node to NodeFailed."""
        try:
            try:
                yield
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise unreachable(self._host.name) from error
            except PARSE_ERRORS as error:
                raise malformed_response(self._host.name, what) from error
        except ProviderError as error:
            if self._host.is_node and not isinstance(error, ContextLengthExceeded):
                raise NodeFailed.of(error) from error
            raise

    async def _bytes(
        self,
        method: str,
        path: str,
        node: Node | None,
        body: dict[str, Any] | None = None,
        on_accepted: Callable[[], None] | None = None,
        *,
        max_bytes: int,
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of the response as they arrive. Raises for any status but 200; the gateway applies timeouts.

        `on_accepted` is called when the response has begun. A node's bytes come a few at a time, and other requests run
        in between. Raises ValueError over `max_bytes`.
        """
        is_node = self._host.is_node
        session = http.node_session() if is_node else http.session()
        url, headers = self._url(node) + path, await self._headers(node)
        async with session.request(method, url, json=body, headers=headers, allow_redirects=False) as response:
            if response.status != 200:
                raise error_for_status(
                    self._host.name,
                    response.status,
                    refusal=read_refusal(await response.content.read(_MAX_ERROR_BYTES)),
                    retry_after=retry_after_seconds(response.headers),
                    is_page=is_page(response.headers),
                )
            if response.headers.get("Content-Encoding", "identity") != "identity" and is_node:
                raise malformed_response(self._host.name)
            if on_accepted is not None:
                on_accepted()
            total, piece_bytes = 0, _NODE_PIECE_BYTES if is_node else _PIECE_BYTES
            while chunk := await response.content.read(piece_bytes):
                total += len(chunk)
                if total > max_bytes:
                    raise ValueError("answer too large")
                yield chunk
                if is_node:
                    await asyncio.sleep(0)

    def _url(self, node: Node | None) -> str:
        if self._host.is_node:
            base_url = node.base_url if node else ""
            validate_node_url(base_url, allow_private=settings().is_on("ALLOW_PRIVATE_NODES"))
            return base_url.rstrip("/")
        return self._host.current_base_url.rstrip("/")

    async def _headers(self, node: Node | None) -> dict[str, str]:
        """The header with the host's key; a node's key is read from the database for each request, never cached."""
        key = settings().key(self._host.key_variable) if self._host.key_variable else ""
        if node is not None and node.has_key:
            arguments = {"node_id": node.id, "base_url": node.base_url}
            key = await ledger_calls.call("node_key", arguments, supabase.as_service) or ""
        return outgoing_headers() | ({"Authorization": f"Bearer {key}"} if key else {})


def _tail_of(decoder: SseDecoder, parser: ChunkParser | EventParser) -> Iterator[ModelEvent]:
    """The events of a last chunk without a blank line after it; none of one that was cut."""
    with suppress(*PARSE_ERRORS):
        for data in decoder.rest():
            yield from parser.feed(data)
