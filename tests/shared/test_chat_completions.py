"""OpenAI's chat completions: parser and request."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import ProviderAuthFailed, ProviderOverloaded
from shared.events import Finish, ModelEvent, Reasoning, Refusal, Text, Usage
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
    [("stop", "stop"), ("length", "length"), ("content_filter", "filtered"), ("new_word", "stop"), (None, "truncated")],
)
def test_stop_reasons_are_translated(sent: str | None, reason: str) -> None:
    """A stream without a stop reason is truncated."""
    assert _parsed(_delta(content="x"), *([_delta(sent)] if sent else []), "[DONE]")[-1] == Finish(reason)  # type: ignore[arg-type]


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
def test_an_error_inside_the_stream_is_an_overload_unless_it_has_a_status(error: Any, kind: type) -> None:
    """Hosts that answered 200 send errors as data, some with a status."""
    with pytest.raises(kind):
        _parsed({"error": error})


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
def test_only_the_code_of_an_error_is_read(body: bytes, code: str | None) -> None:
    """Its message is ignored."""
    assert read_error_code(body) == code


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


def test_counts_are_inclusive() -> None:
    """The prompt includes cached tokens, the completion includes reasoning; explicit zeros stay."""
    details = {"prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}}
    assert read_usage({"prompt_tokens": 10, "completion_tokens": 4} | details) == Usage(10, 4, 3, 2)
    assert read_usage({"prompt_tokens": 0, "completion_tokens": 0}) == Usage(0, 0)


@pytest.mark.parametrize("usage", [None, {}, [], {"prompt_tokens": "many", "completion_tokens": 1}, "5"])
def test_wrong_counts_are_left_to_an_estimate(usage: Any) -> None:
    """They do not count as zero."""
    assert read_usage(usage) is None


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
