"""OpenAI's chat completions: the parser and the request, by strings and values."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import ProviderAuthFailed, ProviderOverloaded
from shared.events import Finish, ModelEvent, Reasoning, Text, Usage
from shared.messages import Format, Message, ModelRequest, Tool, ToolCall
from shared.providers.chat_completions import ChunkParser, read_error_code, read_model_list, read_usage, request_body

CALL = ModelRequest("m", (Message("user", "hi"),), 10)


def _parsed(*chunks: dict[str, Any] | str) -> list[ModelEvent]:
    parser, events = ChunkParser("openai", has_tools=True), []
    for each in chunks:
        events += parser.feed(each if isinstance(each, str) else json.dumps(each))
    return events + parser.finish()


def _delta(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def test_text_reasoning_usage_and_the_end_come_as_events() -> None:
    """The usage chunk has empty choices and comes after the stop reason."""
    usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    events = _parsed(_delta(reasoning_content="hm"), _delta(content="a\u2028"), _delta("stop"), usage, "[DONE]")
    assert events == [Reasoning("hm"), Text("a\u2028"), Usage(5, 2), Finish("stop")]


def test_tool_calls_are_put_together_from_pieces() -> None:
    """Arguments arrive in pieces; a new id, or a new name without one, starts the next call even with index 0."""
    first = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}
    rest = {"index": 0, "function": {"arguments": ": 1}"}}
    whole = {"index": 0, "function": {"name": "g", "arguments": {"y": 2}}}
    events = _parsed(_delta(tool_calls=[first]), _delta(tool_calls=[rest]), _delta("tool_calls", tool_calls=[whole]))
    assert isinstance(events[1], ToolCall)
    own = events[1].id
    assert events == [ToolCall("a", "f", {"x": 1}), ToolCall(own, "g", {"y": 2}), Finish("tool_calls")]
    assert own.startswith("call_")


def test_calls_beyond_all_measure_are_left_out() -> None:
    """What nobody would run costs neither the answer nor the provider's good name."""
    many = [_delta(tool_calls=[{"index": n, "id": f"c{n}", "function": {"name": "f"}}]) for n in range(200)]
    events = _parsed(*many, _delta("tool_calls"))
    assert [event.id for event in events if isinstance(event, ToolCall)] == [f"c{n}" for n in range(128)]
    assert events[-1] == Finish("tool_calls")


@pytest.mark.parametrize(
    ("said", "reason"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "filtered"), ("new_word", "stop"), (None, "truncated")],
)
def test_stop_reasons_are_translated(said: str | None, reason: str) -> None:
    """A stream without a reason was cut, whatever it says at its end."""
    assert _parsed(_delta(content="x"), *([_delta(said)] if said else []), "[DONE]")[-1] == Finish(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "busy"}, ProviderOverloaded),
        ("busy", ProviderOverloaded),
        ({"message": "busy", "code": 429}, ProviderOverloaded),
        ({"message": "no credit", "code": 402}, ProviderAuthFailed),
        ({"message": "odd", "code": True}, ProviderOverloaded),
    ],
)
def test_an_error_inside_the_stream_is_an_overload_unless_it_says_what_it_is(error: Any, kind: type) -> None:
    """Hosts that answered 200 announce trouble as data, some with the status they would rather have sent."""
    with pytest.raises(kind):
        _parsed({"error": error})


def test_a_refusal_is_told_and_marked_as_filtered() -> None:
    """The words of a model that declines are its answer."""
    assert _parsed(_delta(refusal="No."), _delta("stop")) == [Text("No."), Finish("filtered")]


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        ({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"], "additionalProperties": False}, False),
        ({"anyOf": [{"type": "object", "properties": {"a": {}}}]}, False),
    ],
)
def test_a_schema_is_sent_as_strict_when_it_is(schema: dict[str, Any], is_strict: bool) -> None:
    """OpenAI refuses a strict schema that leaves something open."""
    told = request_body(replace(CALL, output_schema=schema))["response_format"]["json_schema"]
    assert (told["schema"], told["strict"]) == (schema, is_strict)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error": {"message": "m", "type": "t", "code": "insufficient_quota"}}', "insufficient_quota"),
        (b'{"error": {"message": "m", "type": "billing_error"}}', "billing_error"),
        (b'{"error": "a sentence"}', None),
        (b"<html>", None),
        (b"", None),
        (b'{"error": {"code": 5}}', None),
    ],
)
def test_of_an_error_answer_only_the_machine_code_is_read(body: bytes, code: str | None) -> None:
    """Sentences are for people."""
    assert read_error_code(body) == code


def test_the_request_says_all_that_the_call_does() -> None:
    """Messages, tools, results and limits stand in OpenAI's words; what is not asked for is not sent."""
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


def test_counts_are_inclusive() -> None:
    """Cached tokens are part of the prompt's, reasoning part of the completion's; explicit zeros stay."""
    details = {"prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}}
    assert read_usage({"prompt_tokens": 10, "completion_tokens": 4} | details) == Usage(10, 4, 3, 2)
    assert read_usage({"prompt_tokens": 0, "completion_tokens": 0}) == Usage(0, 0)


@pytest.mark.parametrize("usage", [None, {}, [], {"prompt_tokens": "many", "completion_tokens": 1}, "5"])
def test_counts_that_are_none_are_left_to_an_estimate(usage: Any) -> None:
    """Nonsense is not taken for zero: it will be estimated, and flagged."""
    assert read_usage(usage) is None


def test_model_lists_tell_the_window_where_they_do() -> None:
    """llama.cpp and vLLM tell the context window in their own ways."""
    data = [{"id": "a", "meta": {"n_ctx_train": 2048}}, {"id": "b", "max_model_len": 4096}, {"id": "c"}]
    found = [(model.upstream_id, model.capabilities.get("context_window")) for model in read_model_list({"data": data})]
    assert found == [("a", 2048), ("b", 4096), ("c", None)]


@pytest.mark.parametrize("name", ["", "a\nb", "\u202eevil", "x" * 151])
def test_a_name_that_cannot_be_an_identifier_is_left_out(name: str) -> None:
    """One odd entry does not spoil a node's list."""
    assert [model.upstream_id for model in read_model_list({"data": [{"id": name}, {"id": "\u043c"}]})] == ["\u043c"]


def test_what_the_caller_said_of_a_schema_is_passed_on() -> None:
    """Name, description and strictness, of tools too; a host decides what it makes of them."""
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}}
    said = Format("verdict", "What was decided.", is_strict=True)
    told = request_body(replace(CALL, output_schema=schema, output_format=said))["response_format"]["json_schema"]
    assert told == {"name": "verdict", "description": "What was decided.", "schema": schema, "strict": True}
    strict, plain = (Tool("f", "", schema, True), Tool("g", "", schema))
    functions = [each["function"] for each in request_body(replace(CALL, tools=(strict, plain)))["tools"]]
    assert [each.get("strict") for each in functions] == [True, None]


def test_arguments_go_back_as_they_were_written() -> None:
    """A model finds its own words."""
    (called,) = _parsed(_delta("tool_calls", tool_calls=[_piece('{"x": 1e2}')]))[:1]
    assert isinstance(called, ToolCall)
    (told,) = request_body(replace(CALL, messages=(Message("assistant", "", (called,)),)))["messages"]
    assert told["tool_calls"][0]["function"]["arguments"] == '{"x": 1e2}'


def _piece(arguments: str) -> dict[str, Any]:
    return {"index": 0, "id": "a", "function": {"name": "f", "arguments": arguments}}
