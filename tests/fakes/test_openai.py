"""The scripted hosts with OpenAI's chat completions."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.fakes.clients import (
    chunks,
    deltas,
    post,
    text_of,
)
from tests.fakes.providers import HOSTILE, Upstream

pytestmark = pytest.mark.anyio
_ANSWER = "one two three"
_HOSTILE = "".join(HOSTILE)
_TOOLS = ("search", "weather")
_NOTE = 'zwei — "drei"'
_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"query": {"type": "string"}}}
_OPENAI_LIKE = pytest.mark.parametrize("dialect", ["openai", "huggingface", "client"])


@_OPENAI_LIKE
def test_openai_compatible_hosts_send_reasoning_and_usage(upstream: Upstream, dialect: str) -> None:
    """Reasoning, text, stop, then one chunk with usage and no choices; other chunks have usage null."""
    response = post(upstream, dialect, "think")
    *others, last = chunks(response)
    field = "reasoning_content" if dialect == "client" else "reasoning"
    assert [d[field] for d in deltas(response) if field in d] == ["Let me think."]
    assert text_of(response) == _ANSWER
    assert others[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["usage"] for chunk in others} == {None}
    assert last["choices"] == []
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (60, 12)
    assert last["usage"]["prompt_tokens_details"] == {"cached_tokens": 20}
    assert last["usage"]["completion_tokens_details"] == {"reasoning_tokens": 4}
    assert response.content.endswith(b"data: [DONE]\n\n")


def test_usage_is_sent_as_requested_and_scripted(upstream: Upstream) -> None:
    """Without include_usage there is none; running usage is on every chunk; wrong usage is wrong."""
    unasked = post(upstream, "openai", "fixed", stream_options=None)
    for response in (unasked, post(upstream, "openai", "usage-none")):
        assert all("usage" not in chunk for chunk in chunks(response))
    running = [chunk["usage"]["completion_tokens"] for chunk in chunks(post(upstream, "openai", "usage-running"))]
    wrong = chunks(post(upstream, "openai", "usage-wrong"))[-1]["usage"]
    assert running == [0, 1, 2, 3, 3, 12]
    assert (wrong["prompt_tokens"], wrong["completion_tokens"]) == (-5, 10**9)


@_OPENAI_LIKE
def test_openai_compatible_hosts_send_tool_calls_in_pieces_or_whole(upstream: Upstream, dialect: str) -> None:
    """Arguments come in pieces of seven characters; a node sends whole calls with index 0."""
    tools = [{"type": "function", "function": {"name": name, "parameters": _SCHEMA}} for name in _TOOLS]
    response = post(upstream, dialect, "tools", tools=tools)
    pieces = [piece for delta in deltas(response) for piece in delta.get("tool_calls", ())]
    written = "".join(piece["function"]["arguments"] for piece in pieces)
    expected = json.dumps({"query": "hi there", "note": _NOTE}, ensure_ascii=False)
    is_node = dialect == "client"
    assert [piece["function"]["name"] for piece in pieces if "id" in piece] == list(_TOOLS)
    assert written == expected * 2
    assert {piece["index"] for piece in pieces} == ({0} if is_node else {0, 1})
    assert is_node or max(len(piece["function"]["arguments"]) for piece in pieces) == 7
    finish = [c["choices"][0]["finish_reason"] for c in chunks(response) if c["choices"]][-1]
    assert finish == ("stop" if is_node else "tool_calls")


def test_a_tool_message_needs_its_call(upstream: Upstream) -> None:
    """A result is accepted after the call with its id, and rejected without it."""
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    question, result = {"role": "user", "content": "hi"}, {"role": "tool", "tool_call_id": "c1", "content": "sunny"}
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert text_of(post(upstream, "openai", "tools", messages=[question, turn, result])) == "The tool said: sunny "
    for messages in ([question, result], [question, turn, question]):
        assert post(upstream, "openai", "tools", messages=messages).status_code == 400


@pytest.mark.parametrize(
    ("dialect", "kind", "status", "error"),
    [
        ("openai", "badkey", 401, "invalid_api_key"),
        ("client", "badkey", 401, "invalid_api_key"),
        ("huggingface", "badkey", 401, "Invalid username or password."),
        ("openai", "credit", 429, "insufficient_quota"),
        ("huggingface", "credit", 402, "You have exceeded your monthly included credits for Inference Providers."),
        ("openai", "status-429-after-3", 429, "rate_limit_exceeded"),
        ("openai", "status-500", 500, None),
        ("huggingface", "status-404", 404, "secret upstream words"),
    ],
)
def test_errors_have_the_shape_of_their_host(
    upstream: Upstream, dialect: str, kind: str, status: int, error: str | None
) -> None:
    """Errors are objects with a code; Hugging Face's are strings."""
    response = post(upstream, dialect, kind)
    error_sent = response.json()["error"]
    assert response.status_code == status
    assert (error_sent if dialect == "huggingface" else error_sent["code"]) == error
    assert response.headers.get("retry-after") == ("3" if "after" in kind else None)


def test_failures_come_after_two_words_or_before_the_first(upstream: Upstream) -> None:
    """A cut, early end, malformed chunk or overload follows two words, or none."""
    for suffix, before in (("", "one two "), ("-first", "")):
        early, overload = (post(upstream, "openai", f"{kind}{suffix}") for kind in ("early", "overload"))
        assert (text_of(early), text_of(overload)) == (before, before)
        assert b"[DONE]" not in early.content
        assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks(early))
        assert chunks(overload)[-1]["error"]["type"] == "server_error"
        assert isinstance(chunks(post(upstream, "huggingface", f"overload{suffix}"))[-1]["error"], str)
        assert b"{not json" in post(upstream, "openai", f"malformed{suffix}").content
        assert _until_torn(upstream, f"cut{suffix}").count(b"data: ") == (3 if before else 1)


def _until_torn(upstream: Upstream, model: str) -> bytes:
    body, got = {"model": model, "stream": True, "messages": []}, b""
    with httpx.stream("POST", f"{upstream.url('client')}/chat/completions", json=body) as response:
        try:
            for piece in response.iter_bytes():
                got += piece
        except httpx.RemoteProtocolError:
            return got
    pytest.fail("the connection was not torn")


def test_an_emoji_is_split_and_escapes_stay(upstream: Upstream) -> None:
    """Characters are UTF-8 on the wire, line separators included; NUL and a lone surrogate are JSON escapes."""
    content = post(upstream, "openai", "hostile").content
    assert b"\\u0000" in content
    assert b"\\ud800" in content
    assert "\u2028".encode() in content
    assert text_of(post(upstream, "openai", "hostile")) == _HOSTILE


def test_json_is_valid_invalid_or_valid_at_the_second_try(upstream: Upstream) -> None:
    """The kind json is valid, json-bad never, json-bad-once after an earlier answer."""
    again = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "no"}, {"role": "user", "content": "y"}]
    answers = [text_of(post(upstream, "openai", kind)) for kind in ("json", "json-bad", "json-bad-once")]
    assert json.loads(answers[0]) == {"answer": "forty-two", "score": 3}
    assert answers[1:] == ["I would rather not."] * 2
    assert text_of(post(upstream, "openai", "json-bad-once", messages=again)) == answers[0]


def test_openai_answers_without_a_stream(upstream: Upstream) -> None:
    """The same answer is one completion."""
    answer = post(upstream, "openai", "echo", stream=False).json()
    assert answer["choices"][0]["message"]["content"] == "hi there "
    assert answer["usage"]["completion_tokens"] == 2
