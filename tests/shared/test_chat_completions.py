"""OpenAI's chat completions: parser and request."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import ProviderOverloaded
from shared.events import Finish, ModelEvent, Reasoning, Refusal, Text, Usage
from shared.messages import CALLER, Format, Message, ModelRequest, ProviderPayload, Tool, ToolCall
from shared.providers.chat_completions import ChunkParser, read_model_list, request_body

CALL = ModelRequest("m", (Message("user", "hi"),), 10)


def _parsed(*chunks: dict[str, Any] | str) -> list[ModelEvent]:
    parser, events = ChunkParser("openai", has_tools=True), []
    for each in chunks:
        events += parser.feed(each if isinstance(each, str) else json.dumps(each))
    return events + parser.finish()


def _delta(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def test_chunks_become_events() -> None:
    """The usage chunk has empty choices and follows the stop reason."""
    usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    events = _parsed(_delta(reasoning_content="hm"), _delta(content="a\u2028"), _delta("stop"), usage, "[DONE]")
    assert events == [Reasoning("hm"), Text("a\u2028"), Usage(5, 2), Finish("stop")]


def test_tool_calls_are_joined_from_pieces() -> None:
    """Arguments come in pieces; a new id, or a name without id, starts the next call even with index 0."""
    first = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}
    rest = {"index": 0, "function": {"arguments": ": 1}"}}
    whole = {"index": 0, "function": {"name": "g", "arguments": {"y": 2}}}
    events = _parsed(_delta(tool_calls=[first]), _delta(tool_calls=[rest]), _delta("tool_calls", tool_calls=[whole]))
    assert isinstance(events[1], ToolCall)
    own = events[1].id
    assert events == [ToolCall("a", "f", {"x": 1}), ToolCall(own, "g", {"y": 2}), Finish("tool_calls")]
    assert own.startswith("call_")


def test_calls_beyond_the_limit_are_left_out() -> None:
    """They neither break the answer nor count as a failure of the provider."""
    many = [_delta(tool_calls=[{"index": n, "id": f"c{n}", "function": {"name": "f"}}]) for n in range(200)]
    events = _parsed(*many, _delta("tool_calls"))
    assert [event.id for event in events if isinstance(event, ToolCall)] == [f"c{n}" for n in range(128)]
    assert events[-1] == Finish("tool_calls")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        *(("stop", "stop"), ("STOP", "stop"), ("end_turn", "stop"), ("tool_use", "stop"), (None, "stop")),
        *(("length", "length"), ("MAX_TOKENS", "length"), ("model_length", "length")),
        *(("content_filter", "filtered"), ("SAFETY", "filtered"), ("sensitive", "filtered")),
        *((word, "truncated") for word in ("abort", "error_finish", "insufficient_system_resource", "new_word")),
    ],
)
def test_stop_reasons_are_translated(sent: str | None, reason: Any) -> None:
    """A [DONE] after text is an end; unknown reasons, and those of a failure, are none."""
    assert _parsed(_delta(content="x"), *([_delta(sent)] if sent else []), "[DONE]")[-1] == Finish(reason)


def test_without_a_reason_and_an_end_mark_the_answer_is_truncated() -> None:
    """The same for an end mark without any content."""
    assert _parsed(_delta(content="x"))[-1] == Finish("truncated")
    assert _parsed("[DONE]") == [Finish("truncated")]


@pytest.mark.parametrize("nothing", ["null", "", " ", "\ufeff", "\0\0", '{"choices": null}', '{"choices": [null]}'])
def test_frames_without_content_carry_nothing(nothing: str) -> None:
    """They are padding and signs of life."""
    events = _parsed(nothing, _delta(content="x"), nothing, _delta("stop"), nothing, " [DONE] ")
    assert events == [Text("x"), Finish("stop")]


def test_null_in_place_of_a_field_carries_nothing() -> None:
    """Hosts write null for every field that a chunk has no value for."""
    empty = {"choices": [{"delta": None, "finish_reason": None}], "usage": None, "error": None}
    pieces = _delta(content="x", tool_calls=[None], reasoning=None, refusal=None, function_call=None)
    assert _parsed(empty, pieces, _delta("stop", content=None, tool_calls=None)) == [Text("x"), Finish("stop")]


def test_a_whole_answer_is_taken_as_one_chunk() -> None:
    """Its `message` has what the deltas of a stream have, calls included."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "x", "reasoning": "hm", "tool_calls": [call]}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    events = _parsed({"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": usage})
    assert events[:4] == [Reasoning("hm"), Text("x"), Usage(5, 2), ToolCall("a", "f", {})]
    beside = {"choices": [{"delta": {}, "message": message, "finish_reason": "stop"}]}
    assert _parsed(_delta(content="x"), beside) == [Text("x"), Finish("stop")]


@pytest.mark.parametrize("place", ["choice", "groq"])
def test_usage_is_found_beside_a_choice(place: str) -> None:
    """Moonshot puts it into the choice, older versions of Groq into a field of their own."""
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    last: dict[str, Any] = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    if place == "choice":
        last["choices"][0]["usage"] = usage
    else:
        last["x_groq"] = {"usage": usage}
    assert _parsed(_delta(content="x"), last)[1] == Usage(5, 2)


@pytest.mark.parametrize(
    "failing",
    [
        {"error": {"message": "busy"}},
        {"choices": [{"delta": {}, "error": {"message": "busy"}, "finish_reason": "error"}]},
        {"object": "error", "message": "busy", "code": 503},
        {"detail": "busy"},
    ],
)
def test_an_error_is_found_wherever_a_host_puts_it(failing: dict[str, Any]) -> None:
    """An error inside a 200 is a failure of the provider."""
    with pytest.raises(ProviderOverloaded):
        _parsed(failing)


def test_reasoning_travels_back_with_the_calls_that_followed_it() -> None:
    """In the field in which it came, to the provider that sent it and to no other."""
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    events = _parsed(
        _delta(reasoning_content="I "), _delta(reasoning_content="think"), _delta(tool_calls=[call]), "[DONE]"
    )
    assert isinstance(events[-1], Finish)
    call_message = Message("assistant", "", (ToolCall("a", "f", {}),), events[-1].native)
    request = replace(CALL, messages=(*CALL.messages, call_message, Message("tool", "r", tool_call_id="a")))
    assert request_body(request, provider="openai")["messages"][1]["reasoning_content"] == "I think"
    assert "reasoning_content" not in request_body(request, provider="huggingface")["messages"][1]


def test_reasoning_that_a_caller_kept_goes_to_every_host_but_openai() -> None:
    """OpenAI has no such field; others want it with the results of the calls."""
    kept = ProviderPayload(CALLER, {"reasoning_content": "I think"})
    message = Message("assistant", "", (ToolCall("a", "f", {}),), kept)
    request = replace(CALL, messages=(*CALL.messages, message, Message("tool", "r", tool_call_id="a")))
    assert request_body(request, provider="huggingface")["messages"][1]["reasoning_content"] == "I think"
    assert "reasoning_content" not in request_body(request, provider="openai")["messages"][1]


def test_a_refusal_is_a_refusal_and_filtered() -> None:
    """It is kept apart from text."""
    assert _parsed(_delta(refusal="No."), _delta("stop")) == [Refusal("No."), Finish("filtered")]


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        ({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"], "additionalProperties": False}, False),
        ({"anyOf": [{"type": "object", "properties": {"a": {}}}]}, False),
    ],
)
def test_a_strict_schema_is_sent_as_strict(schema: dict[str, Any], is_strict: bool) -> None:
    """OpenAI rejects a schema as strict if an object is open."""
    json_schema = request_body(replace(CALL, output_schema=schema))["response_format"]["json_schema"]
    assert (json_schema["schema"], json_schema["strict"]) == (schema, is_strict)


def test_the_body_has_everything_of_the_request() -> None:
    """Messages, tools, results and limits have OpenAI's names; defaults are left out."""
    call = ModelRequest(
        "m",
        (
            Message("system", "s"),
            Message("assistant", "", (ToolCall("1", "f", {"a": 1}),)),
            Message("tool", "r", tool_call_id="1"),
        ),
        7,
        0.5,
        (Tool("f", "does f", {"type": "object"}),),
    )
    body = request_body(call)
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert body["messages"][2] == {"role": "tool", "tool_call_id": "1", "content": "r"}
    assert (body["max_tokens"], body["temperature"], body["tools"][0]["function"]["name"]) == (7, 0.5, "f")
    assert not {"temperature", "tools"} & set(request_body(CALL))


def test_model_lists_may_have_the_context_window() -> None:
    """llama.cpp and vLLM have different fields for it."""
    data = [{"id": "a", "meta": {"n_ctx_train": 2048}}, {"id": "b", "max_model_len": 4096}, {"id": "c"}]
    found = [(model.upstream_id, model.capabilities.get("context_window")) for model in read_model_list({"data": data})]
    assert found == [("a", 2048), ("b", 4096), ("c", None)]


@pytest.mark.parametrize("name", ["", "a\nb", "\u202eevil", "x" * 151])
def test_a_name_that_cannot_be_an_identifier_is_left_out(name: str) -> None:
    """One malformed entry does not invalidate a node's list."""
    assert [model.upstream_id for model in read_model_list({"data": [{"id": name}, {"id": "\u043c"}]})] == ["\u043c"]


def test_the_clients_schema_options_are_passed_on() -> None:
    """Name, description and strictness, of tools too."""
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    form = Format("verdict", "What was decided.", is_strict=True)
    json_schema = request_body(replace(CALL, output_schema=schema, output_format=form))["response_format"][
        "json_schema"
    ]
    assert json_schema == {"name": "verdict", "description": "What was decided.", "schema": schema, "strict": True}
    strict, plain = (Tool("f", "", schema, True), Tool("g", "", schema))
    functions = [each["function"] for each in request_body(replace(CALL, tools=(strict, plain)))["tools"]]
    assert [each.get("strict") for each in functions] == [True, None]


def test_arguments_are_sent_back_unchanged() -> None:
    """The model gets its own text."""
    (called,) = _parsed(_delta("tool_calls", tool_calls=[_piece('{"x": 1e2}')]))[:1]
    assert isinstance(called, ToolCall)
    (sent,) = request_body(replace(CALL, messages=(Message("assistant", "", (called,)),)))["messages"]
    assert sent["tool_calls"][0]["function"]["arguments"] == '{"x": 1e2}'


def _piece(arguments: str) -> dict[str, Any]:
    return {"index": 0, "id": "a", "function": {"name": "f", "arguments": arguments}}
