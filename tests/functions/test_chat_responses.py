"""OpenAI's responses: what clients send, and the events and objects that they get."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from functions.chat.protocols.responses.encoders import ResponseJson, ResponseStream
from functions.chat.protocols.responses.reader import stateless_request
from functions.chat.protocols.responses.request import ResponsesRequest
from functions.chat.protocols.stateless import StatelessRequest
from shared.body import parse_body
from shared.errors import AnswerCut, PreviousResponseNotFound, Unprocessable
from shared.events import CallPiece, Finish, Reasoning, Refusal, Signature, Text, Usage
from shared.messages import CALLER, Image, ProviderPayload
from shared.messages import ToolCall as Call
from shared.run_turn import Failure, TurnEvent
from tests.functions.turns import ENTRY, RECEIPT, STATELESS, TURN, frames
from tools.openapi.responses_responses import ResponseAnswer

_TURN = "11111111-1111-4111-8111-111111111111"
_HI: dict[str, Any] = {"role": "user", "content": "Hi"}
_LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
_PATCH = {"type": "custom", "name": "patch", "description": "Edits.", "format": {"type": "grammar", "definition": "x"}}
_STORED = {
    _TURN: {
        "turn_id": _TURN,
        "conversation_id": "c",
        "content": "Let me.",
        "parts": [{"type": "step-start"}, {"type": "tool-look", "toolCallId": "c1", "input": {"at": "it"}}],
    }
}
_RESULT = {"type": "function_call_output", "call_id": "c1", "output": "seen"}


def _asked(items: Any = "Hi", answers: Any = None, **fields: Any) -> StatelessRequest:
    body = {"model": "m", "input": items} | fields
    return stateless_request(parse_body(json.dumps(body).encode(), ResponsesRequest), answers or {})


def test_items_of_one_answer_are_one_message() -> None:
    """Reasoning, text and calls; the input of a custom tool becomes arguments that every model can write."""
    items = [
        {"role": "developer", "content": "Be brief."},
        _HI | {"content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "id": "m", "content": [{"type": "output_text", "text": "Let me."}]},
        {"type": "function_call", "id": "fc", "call_id": "c1", "name": "look", "arguments": '{"at": "it"}'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** Begin"},
        {"type": "web_search_call", "id": "ws", "status": "completed"},
        _RESULT,
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "done"}]},
    ]
    asked = _asked(items, instructions="You are Codex.", tools=[_LOOK, _PATCH, {"type": "web_search"}])
    roles = [message.role for message in asked.conversation]
    assert roles == ["system", "system", "user", "assistant", "tool", "tool"]
    assert asked.conversation[2].images == (Image("image/png", "AAAA", "low"),)
    called = asked.conversation[3]
    assert (called.content, called.native) == ("Let me.", ProviderPayload(CALLER, {"reasoning_content": "Hm."}))
    assert [dict(call.arguments) for call in called.tool_calls] == [{"at": "it"}, {"input": "*** Begin"}]
    assert [tool.name for tool in asked.options.tools] == ["look", "patch"]
    assert "grammar" in asked.options.tools[1].description
    assert asked.wishes.fields == ("tools.2", "input.6")


def test_parameters_and_formats_have_their_own_places() -> None:
    """`reasoning.effort`, `text.verbosity`, `text.format`; fields of the SDK without effect are not named."""
    schema = {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}
    asked = _asked(
        reasoning={"effort": "low", "summary": "auto"},
        text={"verbosity": "low", "format": schema},
        truncation="auto",
        stream_options={"include_obfuscation": False},
        odd=1,
    )
    assert asked.options.parameters == {"reasoning_effort": "low", "verbosity": "low"}
    assert (asked.options.output_schema, asked.options.output_format.name) == ({"type": "object"}, "x")
    assert asked.wishes.fields == ("odd",)
    assert asked.echo["text"]["format"] == schema


def test_the_calls_of_a_previous_response_come_back_with_their_outputs() -> None:
    """The conversation's own history then ends before them."""
    asked = _asked([_RESULT], _STORED, previous_response_id=f"resp_{_TURN}")
    assert [m.role for m in asked.conversation] == ["assistant", "tool"]
    assert (asked.conversation[0].content, asked.conversation[0].tool_calls[0].name) == ("Let me.", "look")
    assert (asked.conversation_id, asked.replaces_last, asked.is_stored) == ("c", True, True)
    plain = _asked("And?", _STORED, previous_response_id=f"resp_{_TURN}", store=False)
    assert (len(plain.conversation), plain.replaces_last, plain.is_stored) == (1, False, False)


def test_references_become_the_items_that_they_name() -> None:
    """Those of reasoning are left out, as it is not stored."""
    names = (f"rs_{_TURN}_0", f"msg_{_TURN}_1", f"fc_{_TURN}_c1")
    asked = _asked([_HI, *({"id": name} for name in names), _RESULT], _STORED)
    assert [m.role for m in asked.conversation] == ["user", "assistant", "tool"]
    assert (asked.conversation[1].content, len(asked.conversation[1].tool_calls)) == ("Let me.", 1)
    for name in (f"msg_{_TURN.replace('1', '2')}_0", "odd"):
        with pytest.raises(PreviousResponseNotFound):
            _asked([_HI, {"type": "item_reference", "id": name}], _STORED)


@pytest.mark.parametrize(
    "fields",
    [
        {"items": [_RESULT]},
        {"items": [_HI, {"type": "function_call", "call_id": "c1", "name": "look"}]},
        {"items": [{"role": "user", "content": [{"type": "input_file", "file_data": "x"}]}]},
        {"items": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}]},
        {"items": ""},
        {"tool_choice": {"type": "function", "name": "other"}, "tools": [_LOOK]},
        {"top_logprobs": 3},
    ],
    ids=lambda fields: str(fields)[:60],
)
def test_what_cannot_be_done_is_refused(fields: dict[str, Any]) -> None:
    """The error names the field."""
    with pytest.raises(Unprocessable) as caught:
        _asked(**fields)
    assert caught.value.param


_EVENTS: tuple[TurnEvent, ...] = (
    Reasoning("Hm"),
    Reasoning("m."),
    Signature("sig"),
    Text("Let "),
    Text("me."),
    CallPiece("c1", "look", ""),
    CallPiece("c1", "look", '{"at":'),
    CallPiece("c1", "look", ' "it"}'),
    Call("c1", "look", {"at": "it"}),
    Call("c2", "patch", {"input": "*** Begin"}),
    Finish("tool_calls"),
)
_ASKED = replace(STATELESS, echo={"tools": [_LOOK, _PATCH]}, wants_signatures=True)
_DONE = replace(RECEIPT, result=replace(ENTRY, usage=Usage(10, 5, 4, 2)))


def _streamed(*events: TurnEvent, asked: StatelessRequest = _ASKED) -> list[dict[str, Any]]:
    stream = ResponseStream(TURN, asked)
    body = b"".join(stream.encode(event) for event in events[:1])
    return frames(stream.begin() + body + b"".join(stream.encode(event) for event in events[1:]))


def test_a_stream_ends_with_the_object_that_an_answer_without_one_is() -> None:
    """Its events are numbered without gaps, and their pieces add up to the items."""
    received = _streamed(*_EVENTS, _DONE)
    assert [each["sequence_number"] for each in received] == [*range(len(received))]
    encoder = ResponseJson(TURN, _ASKED)
    for event in (*_EVENTS, _DONE):
        encoder.observe(event)
    whole, last = encoder.encode(_DONE), received[-1]
    times = {"created_at": 0, "completed_at": 0}
    assert (last["type"], last["response"] | times) == ("response.completed", whole | times)
    ResponseAnswer.model_validate(whole | {"previous_response_id": None, "store": False})
    reasoning, message, call, patch = whole["output"]
    assert (reasoning["summary"][0]["text"], reasoning["encrypted_content"]) == ("Hmm.", "anthropic:sig")
    assert message["content"][0]["text"] == "Let me."
    assert (call["arguments"], call["call_id"], patch["input"]) == ('{"at": "it"}', "c1", "*** Begin")
    done = [each["item"] for each in received if each["type"] == "response.output_item.done"]
    assert done == whole["output"]
    for kind, text in (
        ("output_text", "Let me."),
        ("reasoning_summary_text", "Hmm."),
        ("function_call_arguments", '{"at": "it"}'),
        ("custom_tool_call_input", "*** Begin"),
    ):
        assert "".join(each["delta"] for each in received if each["type"] == f"response.{kind}.delta") == text
    assert whole["usage"]["input_tokens_details"]["cached_tokens"] == 4


def test_signatures_are_sent_only_when_they_are_asked_for() -> None:
    """`include` has `reasoning.encrypted_content` then."""
    received = _streamed(Reasoning("Hm."), Signature("sig"), Finish("stop"), _DONE, asked=STATELESS)
    assert "encrypted_content" not in received[-1]["response"]["output"][0]


def test_ends_that_are_not_complete() -> None:
    """A refusal is a part of its own; a failure has an error event and a failed response with its usage."""
    refused = _streamed(Refusal("No."), Finish("filtered"), RECEIPT)[-1]
    assert refused["type"] == "response.incomplete"
    assert refused["response"]["incomplete_details"] == {"reason": "content_filter"}
    assert refused["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
    error, failed = _streamed(Text("Hel"), Failure(AnswerCut("It broke off.")), RECEIPT)[-2:]
    assert (error["type"], error["code"], failed["type"]) == ("error", "answer_cut", "response.failed")
    assert failed["response"]["error"] == {"code": "answer_cut", "message": "It broke off."}
    assert failed["response"]["output"][0]["content"][0]["text"] == "Hel"
