"""Malformed responses, byte by byte: each is an error of its provider, never a crash."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from shared import fallback
from shared.errors import (
    NotConfigured,
    OutputInvalid,
    ProviderAuthFailed,
    ProviderError,
    ProviderOverloaded,
    ProviderRefused,
    TurnTimeout,
)
from shared.events import CallPiece, Finish, Text
from shared.gateway import ModelSession
from shared.messages import Message, ModelRequest, Tool, ToolCall
from shared.model_request import Options
from shared.providers import provider_named
from shared.routes import Route
from shared.structured import ask_for
from tests.fakes.openai import OpenAiHost, chunk, sse, text_chunk
from tests.providers import QUESTION, events_of, session_over, text_of
from tests.shared.test_structured import Verdict

pytestmark = pytest.mark.anyio
TOOL = Tool("find", "Finds", {"type": "object", "properties": {"query": {"type": "string"}}})
DEEP = "[" * 100_000
CAN = {"supports_tools": True, "supports_json": True}
FAR = "Mon, 01 Jan 99999999999 00:00:00 GMT"


@pytest.fixture
def every(host: OpenAiHost, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> OpenAiHost:
    """The scripted bytes are the response of every provider."""
    monkeypatch.setattr(fallback, "BACKOFF_SECONDS", 0.0)
    addresses = {f"{name}_BASE_URL": host.url for name in ("GEMINI", "ANTHROPIC", "MATCHA")}
    keys = {f"{name}_API_KEY": "k" for name in ("GOOGLE", "ANTHROPIC", "MATCHA")}
    environ(**addresses, **keys, MATCHA_MISSION_ID="3")
    return host


def _route(name: str) -> Route:
    return Route(f"{name}:7", name, "7", 100, capabilities=CAN)


def _event(kind: str, data: Any) -> bytes:
    return f"event: {kind}\ndata: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


_MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
_STARTED = _event(
    "message_start",
    {"type": "message_start", "message": _MESSAGE | {"usage": {"input_tokens": 5, "output_tokens": 1}}},
)


def _block(kind: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    pieces = [_event("content_block_start", {"type": "content_block_start", "index": 0, "content_block": kind})]
    pieces += [_event("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": d}) for d in deltas]
    return b"".join([*pieces, _event("content_block_stop", {"type": "content_block_stop", "index": 0})])


def _claude_calls(written: str) -> bytes:
    call = {"type": "tool_use", "id": "t", "name": "find", "input": {}}
    return _STARTED + _block(call, {"type": "input_json_delta", "partial_json": written})


_WORD = _block({"type": "text", "text": "Hello "}, {"type": "text_delta", "text": "there"})


@pytest.mark.parametrize(
    ("name", "status", "headers", "body", "kind"),
    [
        ("google", 500, {}, b'{"error": "boom"}', ProviderError),
        ("google", 401, {}, b'{"error": "boom"}', ProviderAuthFailed),
        ("google", 429, {}, b'{"error": {"details": 5}}', ProviderOverloaded),
        ("google", 500, {}, DEEP.encode(), ProviderError),
        ("google", 200, {}, f"data: {DEEP}\n\n".encode(), ProviderError),
        ("anthropic", 200, {}, _event("error", {"type": "error", "error": {"type": "brand_new"}}), ProviderOverloaded),
        ("anthropic", 200, {}, _event("error", {"type": "error", "error": {"type": {"a": 1}}}), ProviderOverloaded),
        ("anthropic", 200, {}, _event("error", "oops"), ProviderOverloaded),
        ("anthropic", 200, {}, _event("message_start", DEEP), ProviderError),
        *[
            (name, 429, {"Retry-After": FAR}, b"{}", ProviderOverloaded)
            for name in ("google", "anthropic", "matcha", "openai")
        ],
        ("matcha", 200, {}, DEEP.encode(), ProviderError),
    ],
)
async def test_a_malformed_response_is_a_provider_error(
    every: OpenAiHost, name: str, status: int, headers: dict[str, str], body: bytes, kind: type[ProviderError]
) -> None:
    """The class has the meaning, as far as it is known; nothing is sent or charged, and a retry is possible."""
    every.status, every.headers, every.pieces = status, headers | {"Content-Type": "text/event-stream"}, [body]
    session = session_over(_route(name), tools=(TOOL,))
    events, error = await events_of(session)
    assert (events, type(error)) == ([], kind)
    assert [attempt.usage for attempt in session.attempts] == [None] * (1 if kind is ProviderAuthFailed else 2)


async def test_claude_without_credit_is_an_empty_account(every: OpenAiHost) -> None:
    """It is a 400 without a specific code, and not the client's fault."""
    words = "Your credit balance is too low to access the Anthropic API."
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": words}}
    every.status, every.headers, every.pieces = 400, {"Content-Type": "application/json"}, [json.dumps(body).encode()]
    _, error = await events_of(session_over(_route("anthropic")))
    assert type(error) is ProviderAuthFailed


async def test_an_unknown_error_after_the_first_text_is_an_error(every: OpenAiHost) -> None:
    """The text in the first event of a block is not lost."""
    every.headers = {"Content-Type": "text/event-stream"}
    every.pieces = [_STARTED + _WORD + _event("error", {"type": "error", "error": "x"})]
    events, error = await events_of(session_over(_route("anthropic")))
    assert (text_of(events), type(error)) == ("Hello there", ProviderOverloaded)


@pytest.mark.parametrize("arguments", ["[1, 2]", "5", "null", '[["a", 1]]', '{"a"'])
async def test_arguments_that_are_no_object_are_a_broken_call(every: OpenAiHost, arguments: str) -> None:
    """Toolbox reports it to the model; it is no failure of the provider."""
    every.pieces = [
        sse(chunk({"tool_calls": [{"id": "a", "function": {"name": "find", "arguments": arguments}}]}, "stop"))
    ]
    events, error = await events_of(session_over(_route("openai"), tools=(TOOL,)))
    pieced, broken = CallPiece("a", "find", arguments), ToolCall("a", "find", {}, broken=arguments)
    assert (events[1:], error) == ([pieced, broken, Finish("tool_calls")], None)


@pytest.mark.parametrize("written", ["[1, 2]", '{"a"', DEEP], ids=["list", "half", "deep"])
async def test_claudes_broken_arguments_are_a_broken_call_too(every: OpenAiHost, written: str) -> None:
    """Its copy of the call is sent back with empty arguments, which its API accepts."""
    every.headers = {"Content-Type": "text/event-stream"}
    stop = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}}
    every.pieces = [_claude_calls(written) + _event("message_delta", stop)]
    events, error = await events_of(session_over(_route("anthropic"), tools=(TOOL,)))
    calls = [event for event in events if isinstance(event, CallPiece | ToolCall)]
    pieces = [CallPiece("t", "find", ""), CallPiece("t", "find", written)]
    assert (calls, error) == ([*pieces, ToolCall("t", "find", {}, broken=written)], None)
    assert isinstance(events[-1], Finish)
    assert events[-1].native is not None
    assert events[-1].native.content[0]["input"] == {}


async def test_truncated_arguments_end_the_answer_for_its_length(every: OpenAiHost) -> None:
    """A call that is cut by the token limit has pieces, and is no call."""
    call = {"id": "a", "function": {"name": "find", "arguments": '{"query": "ab'}}
    every.pieces = [sse(chunk({"content": "Hi", "tool_calls": [call]}, "length"))]
    events, error = await events_of(session_over(_route("openai"), tools=(TOOL,)))
    assert (events[1:], error) == ([Text("Hi"), CallPiece("a", "find", '{"query": "ab'), Finish("length")], None)


async def test_a_call_of_an_unknown_tool_is_passed_on_if_there_are_tools(every: OpenAiHost) -> None:
    """Its result lists the tools; without tools the call is dropped."""
    call = {"id": "a", "function": {"name": "rm -rf", "arguments": "{{{"}}
    every.pieces = [sse(chunk({"content": "Hi"}), chunk({"tool_calls": [call]}, "tool_calls"))]
    for tools, rest in (
        ((), [Finish("stop")]),
        ((TOOL,), [CallPiece("a", "rm_-rf", "{{{"), ToolCall("a", "rm_-rf", {}, broken="{{{"), Finish("tool_calls")]),
    ):
        events, error = await events_of(session_over(_route("openai"), tools=tools))
        assert (text_of(events), events[2:], error) == ("Hi", rest, None)


@pytest.mark.parametrize("details", ["x", [1], 5])
async def test_a_wrong_detail_of_usage_is_ignored(every: OpenAiHost, details: Any) -> None:
    """The answer is kept."""
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": details}
    every.pieces = [sse(chunk({"content": "Hi"}), chunk({}, "stop"), {"choices": [], "usage": usage}, "[DONE]")]
    session = session_over(_route("openai"))
    assert (await events_of(session))[1] is None
    assert session.usage.input_tokens == 9


@pytest.mark.parametrize("name", ["google", "anthropic"])
async def test_a_request_that_cannot_be_made_is_not_the_providers_fault(every: OpenAiHost, name: str) -> None:
    """An empty conversation is rejected before anything is sent, and opens no circuit."""
    session = session_over(_route(name))
    _, error = await events_of(session, (Message("system", "Be kind."), Message("assistant", "Hello?")))
    assert type(error) is ProviderRefused
    assert every.received == []
    assert not session.attempts[0].is_fault


@pytest.mark.parametrize("schema", [{"type": "object", "properties": {"a": {}}}, {"type": ["object", "null"]}])
async def test_a_schema_that_the_sdk_cannot_convert_is_sent_unchanged(
    every: OpenAiHost, schema: dict[str, Any]
) -> None:
    """The provider decides whether it is valid."""
    claude = await provider_named("anthropic")
    assert [event async for event in claude.stream(ModelRequest("m", QUESTION, 10, output_schema=schema))]
    assert every.received[0].json()["output_config"]["format"]["schema"] == schema


@pytest.mark.usefixtures("every")
@pytest.mark.parametrize(
    ("name", "variable", "url"),
    [
        ("google", "GEMINI_BASE_URL", "http://127.0.0.1:99999"),
        ("anthropic", "ANTHROPIC_BASE_URL", "http://127.0.0.1:99999"),
        ("anthropic", "ANTHROPIC_BASE_URL", "http://[::1"),
        ("matcha", "MATCHA_BASE_URL", "http://127.0.0.1:99999"),
    ],
)
async def test_a_wrong_base_url_is_named(environ: Callable[..., None], name: str, variable: str, url: str) -> None:
    """NotConfigured names the variable."""
    environ(**{variable: url})
    _, error = await events_of(session_over(_route(name)))
    assert isinstance(error, NotConfigured)
    assert variable in error.message


@pytest.mark.parametrize("name", ["google", "anthropic", "openai", "matcha"])
async def test_a_key_that_no_header_can_hold_is_named(
    every: OpenAiHost, environ: Callable[..., None], name: str
) -> None:
    """It is the operator's mistake, not the provider's failure."""
    variable = {"google": "GOOGLE_API_KEY"}.get(name, f"{name.upper()}_API_KEY")
    for key in ("a\nb", "schl\u00fcssel", "two words"):
        environ(**{variable: key})
        _, error = await events_of(session_over(_route(name)))
        assert isinstance(error, NotConfigured)
        assert variable in error.message
    assert every.received == []


async def test_text_that_cannot_be_encoded_is_sanitised(every: OpenAiHost) -> None:
    """A lone surrogate of an earlier answer neither breaks the next request nor its estimate."""
    every.pieces = [text_chunk("Hi")]
    for name in ("openai", "anthropic", "google"):
        session = session_over(_route(name))
        await events_of(
            session, (Message("user", "a \ud800 b"), Message("assistant", "c \ud800"), Message("user", "d"))
        )
        assert session.attempts
    assert len(every.received) >= 3


async def test_a_second_request_without_time_left_is_not_sent(every: OpenAiHost, environ: Callable[..., None]) -> None:
    """The deadline holds for later rounds, too."""
    environ(TURN_SECONDS="10")
    every.pieces = [text_chunk("Hi")]
    session = ModelSession((_route("openai"),), Options(), time.monotonic() - 8)
    assert (await events_of(session))[1] is None
    assert type((await events_of(session))[1]) is TurnTimeout
    assert len(every.received) == 1


async def test_our_own_crash_is_recorded_and_not_charged(every: OpenAiHost) -> None:
    """It counts neither as an answer nor as a disconnect."""
    every.pieces = [text_chunk("Hi")]
    session = session_over(_route("openai"))
    with pytest.raises(AttributeError):
        async for _ in session.events(("no message",)):  # type: ignore[arg-type]
            pass
    assert session.usage.input_tokens == 0


async def test_a_blocked_or_too_long_answer_is_not_retried(every: OpenAiHost) -> None:
    """A retry would have the same result."""
    for reason in ("content_filter", "length"):
        every.pieces = [sse(chunk({"content": '{"answer": "a'}), chunk({}, reason), "[DONE]")]
        session = session_over(_route("openai"))
        with pytest.raises(OutputInvalid):
            await ask_for(Verdict, session, QUESTION)
        assert len(session.attempts) == 1
    every.pieces = [text_chunk('Here you are:\n```json\n{"answer": "a", "score": 1}\n```\nAnything else?')]
    assert (await ask_for(Verdict, session_over(_route("openai")), QUESTION)).score == 1
