"""Anthropic's messages: events and objects, and errors in Anthropic's words."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from functions.chat.protocols.messages.encoders import MessageJson, MessageStream
from functions.chat.protocols.messages.errors import reworded
from shared.error_response import error_body
from shared.errors import (
    AnswerCut,
    BudgetExceeded,
    ContextLengthExceeded,
    DatabaseUnavailable,
    InternalError,
    ModelNotFound,
    ParleyError,
    ProviderOverloaded,
    QuotaExceeded,
    TurnTimeout,
    Unauthenticated,
    Unprocessable,
)
from shared.events import CallPiece, Finish, Reasoning, Refusal, Signature, StopReason, Text, Usage
from shared.messages import ToolCall
from shared.run_turn import Failure, TurnEvent
from tests.functions.turns import ENTRY, RECEIPT, STATELESS, TURN, frames
from tools.openapi.messages_responses import MessageAnswer, MessagesError

_CACHED = replace(RECEIPT, result=replace(ENTRY, usage=Usage(10, 5, 4, 2)))
_LOOK = ToolCall("c1", "look", {"at": "it"})


def _streamed(*events: TurnEvent) -> list[dict[str, Any]]:
    stream = MessageStream(TURN, STATELESS)
    body = b"".join(stream.encode(event) for event in events[:1])
    raw = stream.begin() + body + b"".join(stream.encode(event) for event in events[1:])
    received = frames(raw)
    names = [line.removeprefix("event: ") for line in raw.decode().split("\n") if line.startswith("event: ")]
    assert names == [each["type"] for each in received]
    return received


def _whole(*events: TurnEvent) -> dict[str, Any]:
    encoder = MessageJson(TURN, STATELESS)
    for event in events:
        encoder.observe(event)
    answer = encoder.encode(_CACHED)
    MessageAnswer.model_validate(answer)
    return answer


def _blocks(received: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks that a client puts together."""
    blocks: list[dict[str, Any]] = []
    for each in received:
        if each["type"] == "content_block_start":
            assert each["index"] == len(blocks)
            blocks.append(dict(each["content_block"]) | {"written": ""})
        elif each["type"] == "content_block_delta":
            assert each["index"] == len(blocks) - 1
            (value,) = (value for name, value in each["delta"].items() if name != "type")
            name = {"signature_delta": "signature", "input_json_delta": "written"}.get(each["delta"]["type"])
            name = name or each["delta"]["type"].removesuffix("_delta")
            blocks[-1][name] += value
    for block in blocks:
        written = block.pop("written")
        if block["type"] == "tool_use":
            block["input"] = json.loads(written or "{}")
    return blocks


EVENTS: tuple[TurnEvent, ...] = (
    Reasoning("Hm"),
    Reasoning("m."),
    Signature("sig"),
    Signature("secret", is_redacted=True),
    Text("Let "),
    Text("me."),
    CallPiece("c1", "look", ""),
    CallPiece("c1", "look", '{"at": '),
    CallPiece("c1", "look", '"it"}'),
    _LOOK,
    ToolCall("c2", "go", {}),
    Finish("tool_calls"),
)


def test_a_stream_and_an_object_have_the_same_blocks() -> None:
    """Thinking with its signature, redacted thinking, text and calls, whole or in pieces."""
    received = _streamed(*EVENTS, _CACHED)
    expected = [
        {"type": "thinking", "thinking": "Hmm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "text", "text": "Let me."},
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "it"}},
        {"type": "tool_use", "id": "c2", "name": "go", "input": {}},
    ]
    whole = _whole(*EVENTS)
    assert _blocks(received) == expected == whole["content"]
    kinds = [each["type"] for each in received]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == len(expected)
    assert received[-2]["delta"]["stop_reason"] == whole["stop_reason"] == "tool_use"
    assert received[-2]["usage"] == whole["usage"]


def test_cached_tokens_come_on_top_of_the_input() -> None:
    """As Anthropic counts; the first event has what the provider has counted until then."""
    received = _streamed(Usage(10, 0, 4), Text("Hi"), Finish("stop"), _CACHED)
    counts = {"input_tokens": 6, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0}
    assert {name: received[-2]["usage"][name] for name in counts} == counts
    assert (received[-2]["usage"]["output_tokens"], received[-2]["usage"]["cost"]) == (5, 0.002)
    assert received[0]["message"]["usage"]["input_tokens"] == 6


def test_pieces_of_two_calls_never_alternate() -> None:
    """Blocks follow each other: a call waits until the one before it is whole."""
    pieces = [
        CallPiece("c1", "look", ""),
        CallPiece("c2", "go", ""),
        CallPiece("c1", "look", '{"at": "it"}'),
        CallPiece("c2", "go", '{"to"'),
        CallPiece("c2", "go", ': "it"}'),
    ]
    received = _streamed(*pieces, _LOOK, ToolCall("c2", "go", {"to": "it"}), Finish("tool_calls"), RECEIPT)
    assert [block["input"] for block in _blocks(received)] == [{"at": "it"}, {"to": "it"}]
    in_turn = [CallPiece("c1", "look", '{"at": "it"}'), CallPiece("c2", "go", "{}")]
    early = _streamed(*in_turn)
    assert [block["name"] for block in _blocks(early)] == ["look", "go"]


@pytest.mark.parametrize(
    ("reason", "received"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("filtered", "refusal")],
)
def test_reasons_are_anthropics(reason: StopReason, received: str) -> None:
    """In a stream and in an object; a refusal is text."""
    streamed = _streamed(Refusal("No."), Finish(reason), RECEIPT)
    assert streamed[-2]["delta"]["stop_reason"] == _whole(Refusal("No."), Finish(reason))["stop_reason"] == received
    assert _blocks(streamed) == [{"type": "text", "text": "No."}]


def test_a_stream_that_breaks_off_ends_with_an_error() -> None:
    """No stop follows it, so that the SDKs raise."""
    received = _streamed(Text("Hel"), Failure(reworded(AnswerCut("It broke off."))), RECEIPT)
    assert received[-1]["error"] == {
        "type": "api_error",
        "message": "It broke off.",
        "metadata": {"code": "answer_cut"},
    }


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (Unprocessable("no", param="x"), 400, "invalid_request_error"),
        (Unauthenticated("no"), 401, "authentication_error"),
        (BudgetExceeded("no"), 402, "billing_error"),
        (ModelNotFound("no"), 404, "not_found_error"),
        (QuotaExceeded("no"), 429, "rate_limit_error"),
        (InternalError(), 500, "api_error"),
        (DatabaseUnavailable("no"), 503, "api_error"),
        (TurnTimeout("no"), 504, "timeout_error"),
        (ProviderOverloaded("no"), 529, "overloaded_error"),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_errors_have_anthropics_types(error: ParleyError, status: int, kind: str) -> None:
    """The code of Parley is in the metadata."""
    body = error_body(reworded(error), "request-1")
    assert (error.status, MessagesError.model_validate(body).error.type) == (status, kind)
    assert (body["error"]["metadata"]["code"], body["request_id"]) == (error.code, "request-1")


def test_a_long_prompt_is_reported_in_the_words_that_claude_code_reads() -> None:
    """It then makes the conversation shorter."""
    error = reworded(ContextLengthExceeded("Too long."))
    assert (error.status, error.message.startswith("prompt is too long")) == (400, True)
