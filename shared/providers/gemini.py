"""Gemini by google-genai; the first turn that needs it loads this module."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types

from shared.config import settings
from shared.errors import ProviderError, ProviderRefused
from shared.events import Finish, ModelEvent, Reasoning, Text
from shared.messages import ANY_OBJECT, ModelRequest, Node, ToolCall
from shared.provider_config import PROVIDERS
from shared.providers.gemini_messages import NAME, contents_of, native_of, stop_reason_of, system_of, usage_of
from shared.providers.provider_errors import (
    PARSE_ERRORS,
    error_for_status,
    is_page,
    malformed_response,
    retry_after_seconds,
    seconds_in,
)
from shared.providers.refusals import Refusal
from shared.providers.sdk_http import first_of, reporting, shared_client, transport_failures
from shared.providers.tool_calls import tool_call

# The SDK warns for each client if GOOGLE_API_KEY and GEMINI_API_KEY are both set, although we pass the key.
logging.getLogger("google_genai._api_client").addFilter(lambda record: "GEMINI_API_KEY" not in record.getMessage())

_SERVER_SECONDS = "600"  # Google's own limit; the gateway gives up earlier
# genai.Client requires a synchronous client, too; this one builds no TLS context and is never used.
_UNUSED = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(500)))


class Gemini:
    """The Provider for Gemini."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        opened: list[httpx2.Response] = []
        turn = _AnswerReader()
        contents = contents_of(request)
        if not contents:
            raise ProviderRefused("There is nothing to answer.")
        try:
            with _failures():
                chunks = await open_stream(request, contents)
                with reporting(request.on_bytes):
                    chunk = await first_of(chunks, opened)  # sends the request
                while chunk is not None:
                    for event in turn.read(chunk):
                        yield event
                    chunk = await anext(chunks, None)
                yield turn.finish()
        finally:
            # The SDK leaves the socket to the garbage collector; a hang-up must stop the model at once.
            for response in opened:
                await response.aclose()

    async def check(self, node: Node | None = None) -> None:  # noqa: ARG002 - the contract's
        with _failures():
            await _client().aio.models.list(config=types.ListModelsConfig(page_size=1))


async def open_stream(
    request: ModelRequest, contents: list[types.ContentUnionDict]
) -> AsyncIterator[types.GenerateContentResponse]:
    """The SDK's stream of chunks; the first `anext` sends the request."""
    return await _client().aio.models.generate_content_stream(
        model=request.model, contents=contents, config=_config(request)
    )


class _AnswerReader:
    """Converts the chunks of one answer to ModelEvents."""

    def __init__(self) -> None:
        self._parts: list[types.Part] = []
        self._calls = 0
        self._stop: str | None = None

    def read(self, chunk: types.GenerateContentResponse) -> Iterator[ModelEvent]:
        if chunk.prompt_feedback and chunk.prompt_feedback.block_reason:
            self._stop = "SAFETY"
        for candidate in (chunk.candidates or [])[:1]:
            for part in (candidate.content and candidate.content.parts) or []:
                self._parts.append(part)
                if part.function_call and part.function_call.name:
                    yield self._tool_call(part.function_call)
                elif part.text:
                    yield Reasoning(part.text) if part.thought else Text(part.text)
            if candidate.finish_reason:
                self._stop = candidate.finish_reason.value
        if usage := usage_of(chunk.usage_metadata):
            yield usage

    def finish(self) -> Finish:
        return Finish(
            stop_reason_of(self._stop, has_calls=self._calls > 0), native_of(self._parts) if self._calls else None
        )

    def _tool_call(self, call: types.FunctionCall) -> ToolCall:
        self._calls += 1
        made = tool_call(call.id or "", call.name or "", json.dumps(dict(call.args or {})))
        call.id, call.name, call.args = made.id, made.name, dict(made.arguments)
        return made


def _client() -> genai.Client:
    options = types.HttpOptions(
        base_url=PROVIDERS[NAME].current_base_url,
        api_version="v1",
        httpx_client=_UNUSED,
        httpx_async_client=shared_client(),
        async_client_args={"ssl": True},  # keeps the SDK from building one TLS context per client
        headers={"X-Server-Timeout": _SERVER_SECONDS},  # otherwise the SDK sends its own timeout
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    return genai.Client(api_key=settings().key("GOOGLE_API_KEY"), vertexai=False, http_options=options)


def _config(request: ModelRequest) -> types.GenerateContentConfig:
    declared = [
        types.FunctionDeclaration(name=t.name, description=t.description, parameters_json_schema=t.parameters)
        for t in request.tools
    ]
    return types.GenerateContentConfig(
        system_instruction=system_of(request),
        temperature=request.temperature,
        top_p=request.parameters.get("top_p"),
        top_k=request.parameters.get("top_k"),
        seed=request.parameters.get("seed"),
        max_output_tokens=request.max_output_tokens,
        tools=[types.Tool(function_declarations=declared)] if declared else None,
        tool_config=_tool_config(request) if declared else None,
        stop_sequences=list(request.stop) or None,
        response_mime_type="application/json" if request.output_schema is not None else None,
        response_json_schema=request.output_schema if request.output_schema != ANY_OBJECT else None,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
    )


def _tool_config(request: ModelRequest) -> types.ToolConfig | None:
    modes = types.FunctionCallingConfigMode
    if not request.may_call_tools:
        config = types.FunctionCallingConfig(mode=modes.NONE)
    elif request.must_call:
        named = [request.must_call] if isinstance(request.must_call, str) else None
        config = types.FunctionCallingConfig(mode=modes.ANY, allowed_function_names=named)
    else:
        return None
    return types.ToolConfig(function_calling_config=config)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        with transport_failures(NAME):
            yield
    except ProviderError:
        raise
    except errors.APIError as error:
        raise _provider_error(error) from error
    except (errors.UnknownApiResponseError, *PARSE_ERRORS) as error:
        raise malformed_response(NAME) from error


def _provider_error(error: errors.APIError) -> ProviderError:
    """The ProviderError; a wrong key is a 400 whose details have the reason. The body may have any shape."""
    status = error.code if isinstance(error.code, int) else 502
    headers = getattr(error.response, "headers", None)
    delay = None if headers is None else retry_after_seconds(headers)
    codes = [error.status] if isinstance(error.status, str) else []
    for detail in _details(error.details):
        kind = str(detail.get("@type", "")).rpartition(".")[2]
        if kind == "RetryInfo":
            delay = seconds_in(str(detail.get("retryDelay")).removesuffix("s"))
        elif kind == "ErrorInfo":
            codes.insert(0, str(detail.get("reason")))
    return error_for_status(
        NAME,
        status,
        refusal=Refusal(tuple(codes), error.message if isinstance(error.message, str) else ""),
        retry_after=delay,
        is_page=headers is not None and is_page(headers),
    )


def _details(body: Any) -> list[dict[str, Any]]:
    error = body.get("error", body) if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    return [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []
