"""Claude by the raw events of the anthropic SDK; the first turn that needs it loads this module."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
from anthropic import types

from shared.config import settings
from shared.errors import ProviderError, ProviderRefused
from shared.events import CallPiece, Finish, ModelEvent, Reasoning, Signature, Text
from shared.messages import ModelRequest, Node, ProviderPayload
from shared.provider_config import PROVIDERS
from shared.providers.anthropic_messages import NAME, request_arguments, stop_reason_of, usage_of
from shared.providers.provider_errors import (
    PARSE_ERRORS,
    error_for_status,
    is_page,
    malformed_response,
    retry_after_seconds,
)
from shared.providers.refusals import refusal_in
from shared.providers.sdk_http import reporting, shared_client, transport_failures
from shared.providers.tool_calls import tool_call, usual_id, usual_name

# An error inside a stream is an APIStatusError with status 200; its type has the meaning.
_OVERLOADED = 529  # also for an error of unknown type inside a 200
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": _OVERLOADED,
}


class Anthropic:
    """The Provider for Claude."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        if not any(
            message.role == "user" and (message.content.strip() or message.has_files) for message in request.messages
        ):
            raise ProviderRefused("There is nothing to answer.")
        with _failures():
            turn = _AnswerReader()
            async with await open_stream(request) as stream:
                async for event in stream:
                    for each in turn.read(event):
                        yield each
            yield turn.finish()

    async def check(self, node: Node | None = None) -> None:  # noqa: ARG002 - the contract's
        with _failures():
            await _client().models.list(limit=1)


async def open_stream(request: ModelRequest) -> anthropic.AsyncStream[types.RawMessageStreamEvent]:
    """The SDK's stream of raw events; its accumulating helper takes several times the CPU time."""
    stream: anthropic.AsyncStream[types.RawMessageStreamEvent]
    with reporting(request.on_bytes):
        stream = await _client().messages.create(stream=True, **request_arguments(request))
    return stream


class _AnswerReader:
    """Converts the raw events of one answer to ModelEvents, and keeps its blocks for the next request."""

    def __init__(self) -> None:
        self._blocks: dict[int, dict[str, Any]] = {}
        self._written: dict[int, str] = {}
        self._start: types.Usage | None = None
        self._stop: str | None = None
        self._has_calls = False

    def read(self, event: types.RawMessageStreamEvent) -> Iterator[ModelEvent]:
        match event.type:
            case "content_block_delta":
                yield from self._delta(event)
            case "content_block_start":
                yield from self._started(event.index, event.content_block.to_dict(mode="json"))
            case "content_block_stop":
                yield from self._stopped(event.index)
            case "message_start":
                self._start = event.message.usage
                # Its output count is a placeholder: there is no output yet.
                if usage := usage_of(self._start, self._start, is_placeholder=True):
                    yield usage
            case "message_delta":
                self._stop = event.delta.stop_reason or self._stop
                if usage := usage_of(event.usage, self._start):
                    yield usage
            case "message_stop":
                self._stop = self._stop or "end_turn"  # some proxies leave the reason out
            case _:
                pass

    def finish(self) -> Finish:
        reason = stop_reason_of(self._stop)
        if reason in {"stop", "tool_calls"}:  # some proxies send another reason than fits
            reason = "tool_calls" if self._has_calls else "stop"
        if reason != "tool_calls":
            return Finish(reason)
        blocks = [block for _, block in sorted(self._blocks.items()) if block.get("text") != ""]
        return Finish(reason, ProviderPayload(NAME, blocks))

    def _started(self, index: int, block: dict[str, Any]) -> Iterator[ModelEvent]:
        self._blocks[index] = block
        if text := block.get("text"):
            yield Text(str(text))
        elif block["type"] == "redacted_thinking":
            yield Signature(str(block["data"]), is_redacted=True)
        elif _is_call(block):
            block |= {"id": usual_id(block["id"]), "name": usual_name(block["name"])}
            yield CallPiece(block["id"], block["name"], "")

    def _delta(self, event: types.RawContentBlockDeltaEvent) -> Iterator[ModelEvent]:
        block, delta = self._blocks[event.index], event.delta
        match delta.type:
            case "text_delta":
                block["text"] += delta.text
                yield Text(delta.text)
            case "thinking_delta":
                block["thinking"] += delta.thinking
                yield Reasoning(delta.thinking)
            case "signature_delta":
                block["signature"] = delta.signature
                yield Signature(delta.signature)
            case "input_json_delta":
                self._written[event.index] = self._written.get(event.index, "") + delta.partial_json
                if delta.partial_json and _is_call(block):
                    yield CallPiece(block["id"], block["name"], delta.partial_json)
            case _:
                pass

    def _stopped(self, index: int) -> Iterator[ModelEvent]:
        block = self._blocks[index]
        if _is_call(block):
            self._has_calls = True
            written = self._written.get(index) or json.dumps(block["input"])
            call = tool_call(block["id"], block["name"], written)
            block["input"] = dict(call.arguments)
            yield call


def _is_call(block: dict[str, Any]) -> bool:
    return block["type"] == "tool_use" and bool(block["name"])


def _client() -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(
        api_key=settings().key("ANTHROPIC_API_KEY"),
        base_url=PROVIDERS[NAME].current_base_url,
        http_client=shared_client(),
        max_retries=0,
        timeout=None,
        open_telemetry=False,
    )


@contextmanager
def _failures() -> Iterator[None]:
    try:
        with transport_failures(NAME):
            yield
    except ProviderError:
        raise
    except anthropic.APIStatusError as error:
        code = error.type if isinstance(error.type, str) else None
        fallback = error.status_code if error.status_code >= 400 else _OVERLOADED
        headers = error.response.headers
        raise error_for_status(
            NAME,
            _STATUS_OF_TYPE.get(code or "", fallback),
            refusal=refusal_in(error.body),
            retry_after=retry_after_seconds(headers),
            is_page=is_page(headers),
        ) from error
    except anthropic.APIConnectionError as error:
        with transport_failures(NAME):
            raise error.__cause__ or ConnectionError from error
    except (anthropic.AnthropicError, *PARSE_ERRORS) as error:
        raise malformed_response(NAME) from error
