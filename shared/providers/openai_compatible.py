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
from shared.events import Call, Finish, Message, ModelEvent, Reasoning, StopReason, Text, ToolCall, Usage
from shared.privacy import storable
from shared.providers.contract import ListedModel
from shared.sse import SseDecoder

_STOP_REASONS: dict[str, StopReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "filtered",
}
_MAX_BODY_BYTES = 16 * 1024 * 1024
_MAX_TOKENS = 100_000_000  # more than any model takes; what a host claims beyond it would not fit the ledger
_NONSENSE = (ValueError, AttributeError, TypeError, KeyError, OverflowError, RecursionError)
_MAX_NAME = 150  # leaves room for client:<node>: in the catalogue's 200
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


def request_body(call: Call) -> dict[str, Any]:
    """A Call as chat completions' JSON, streaming and with usage asked for."""
    body: dict[str, Any] = {
        "model": call.model,
        "messages": [_message(message) for message in call.messages],
        "max_tokens": call.max_output_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if call.temperature is not None:
        body["temperature"] = call.temperature
    if call.tools:
        body["tools"] = [
            {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.parameters}}
            for t in call.tools
        ]
    return body


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
    if not message.tool_calls:
        return {"role": message.role, "content": message.content}
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": json.dumps(c.arguments)}}
        for c in message.tool_calls
    ]
    return {"role": message.role, "content": message.content or None, "tool_calls": calls}


class ChunkParser:
    """Chat completion chunks, one JSON text each, to events; knows nothing of bytes or time."""

    def __init__(self) -> None:
        self.is_done = False
        self._stop: str | None = None
        self._calls: list[dict[str, str]] = []

    def feed(self, data: str) -> list[ModelEvent]:
        """Events of one chunk. Raises ProviderError for an error announced in the stream, ValueError for nonsense."""
        if data == "[DONE]":
            self.is_done = True
            return []
        chunk = json.loads(data)
        if chunk.get("error"):
            raise ProviderOverloaded("The provider broke off with an error inside its answer.")
        events: list[ModelEvent] = []
        for choice in (chunk.get("choices") or [])[:1]:
            delta = choice.get("delta") or {}
            if thought := delta.get("reasoning_content") or delta.get("reasoning"):
                events.append(Reasoning(str(thought)))
            if text := delta.get("content"):
                events.append(Text(str(text)))
            for piece in delta.get("tool_calls") or []:
                self._collect(piece)
            self._stop = self._stop or choice.get("finish_reason")
        if usage := chunk.get("usage"):  # its own chunk has empty choices
            events.append(read_usage(usage))
        return events

    def finish(self) -> list[ModelEvent]:
        """What the end of the stream completes; without a stop reason the answer was cut."""
        if self._stop is None:
            return [Finish("truncated")]
        calls: list[ModelEvent] = [
            ToolCall(c["id"], c["name"], json.loads(c["arguments"] or "{}")) for c in self._calls
        ]
        return [*calls, Finish("tool_calls" if calls else _STOP_REASONS.get(self._stop, "stop"))]

    def _collect(self, piece: dict[str, Any]) -> None:
        """A new id, or a new name without one, starts a new call: some hosts send every call with index 0."""
        function = piece.get("function") or {}
        latest = self._calls[-1] if self._calls else None
        is_new = latest is None or (piece["id"] != latest["id"] if piece.get("id") else function.get("name"))
        if latest is None or is_new:
            latest = {"id": piece.get("id") or f"call_{len(self._calls)}", "name": "", "arguments": ""}
            self._calls.append(latest)
        latest["name"] = latest["name"] or function.get("name") or ""
        arguments = function.get("arguments")
        latest["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""


def read_usage(usage: dict[str, Any]) -> Usage:
    """OpenAI's counts are inclusive: cached in prompt, reasoning in completion. Impossible claims are clamped."""
    input_tokens, output_tokens = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=min(_count(cached), input_tokens),
        reasoning_tokens=min(_count(reasoning), output_tokens),
    )


def _count(claimed: Any) -> int:
    return min(max(0, int(claimed or 0)), _MAX_TOKENS)


def read_model_list(answer: Any) -> list[ListedModel]:
    """`GET /models`; llama.cpp and vLLM tell the context window, OpenAI tells nothing but names.

    Names are untrusted text: what cannot be an identifier is left out.
    """
    listed = []
    for entry in answer["data"]:
        upstream_id, name = entry["id"], entry.get("name")
        if not (isinstance(upstream_id, str) and upstream_id.isprintable() and 0 < len(upstream_id) <= _MAX_NAME):
            continue
        window = _count(entry.get("max_model_len") or (entry.get("meta") or {}).get("n_ctx_train"))
        capabilities = {"context_window": window} if window else {}
        listed.append(ListedModel(upstream_id, storable(str(name))[:_MAX_NAME] if name else None, capabilities))
    return listed
