"""The body of chat completions, and its conversion to our values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from functions.chat.completion_request import CompletionRequest
from shared.body import parse_body
from shared.errors import Unprocessable
from shared.messages import ANY_OBJECT, Format, Image, ModelRequest
from shared.providers.tool_calls import is_usual_id
from shared.usage import UsageMeter

_HI: dict[str, Any] = {"role": "user", "content": "Hi"}
_TOOL: dict[str, Any] = {"type": "function", "function": {"name": "look"}}
_CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}
_CALLED: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [_CALL]}
_RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "it"}]}


def _asked(**fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "gpt-4o", "messages": [_HI]} | fields)


def _image(url: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, "detail": "low"}}]}


def test_a_conversation_with_tools_goes_through_as_it_is() -> None:
    """Roles, calls with their arguments, and results with their call ids are kept."""
    developer = {"role": "developer", "content": "Be brief."}
    asked = _asked(messages=[developer, _HI, _CALLED, _RESULT], tools=[_TOOL])
    system, user, called, result = asked.conversation
    assert (system.role, system.content, user.content) == ("system", "Be brief.", "Hi")
    assert (called.content, called.tool_calls[0].arguments) == ("", {"at": "it"})
    assert (result.role, result.content, result.tool_call_id) == ("tool", "it", "c1")
    assert asked.question == "Hi"


def _call(call_id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "look", "arguments": arguments}}


def _rounds_of(arguments: str, count: int) -> list[dict[str, Any]]:
    return [{"role": "assistant", "tool_calls": [_call("c1", arguments)]}, _RESULT] * count


def _round(*ids: str) -> list[dict[str, Any]]:
    return [
        {"role": "assistant", "tool_calls": [*map(_call, ids)]},
        *(_RESULT | {"tool_call_id": each} for each in ids),
    ]


def test_ids_that_a_provider_would_refuse_are_replaced_in_calls_and_results() -> None:
    """Unusual, long and repeated ids are replaced, in calls and results alike, always by the same ids."""
    messages = [_HI, *_round("functions.f:0", "x" * 100, "c1"), *_round("functions.f:0", "c1")]
    received = _asked(messages=messages).conversation
    calls = [call.id for message in received for call in message.tool_calls]
    assert calls == [message.tool_call_id for message in received if message.role == "tool"]
    assert len(set(calls)) == 5
    assert calls[2] == "c1"
    assert all(is_usual_id(each) for each in calls)
    assert received == _asked(messages=messages).conversation


@pytest.mark.parametrize("arguments", ['{"at": 1e2, "by": 0.10000000000000000555}', '{"at":', "[1]", ""])
def test_arguments_come_back_as_the_model_wrote_them(arguments: str) -> None:
    """Providers that take text get the arguments unchanged, valid or not."""
    (_, called, _) = _asked(
        messages=[_HI, {"role": "assistant", "tool_calls": [_call("c1", arguments)]}, _RESULT]
    ).conversation
    (call,) = called.tool_calls
    assert (call.text, call.broken) == (arguments or "{}", None)


def test_the_fields_of_a_schema_are_kept() -> None:
    """Schemas of the answer and of tools keep name, description and strictness."""
    schema = {"name": "x", "description": "An x.", "schema": {"type": "object"}, "strict": True}
    asked = _asked(
        response_format={"type": "json_schema", "json_schema": schema},
        tools=[
            {"type": "function", "function": {"name": "look", "strict": True}},
            {"type": "function", "function": {"name": "see"}},
        ],
    ).options
    assert asked.output_format == Format("x", "An x.", is_strict=True)
    assert [tool.is_strict for tool in asked.tools] == [True, None]


def test_an_image_stands_among_the_words_where_it_stood() -> None:
    """Parts keep their order; `content` has their text."""
    parts = [{"type": "text", "text": "a"}, *_image("data:image/png;base64,AAAA")["content"]]
    (message,) = _asked(messages=[{"role": "user", "content": parts}]).conversation
    assert message.parts == ("a", Image("image/png", "AAAA", "low"))
    assert message.content == "a"


def test_an_uncounted_image_is_estimated() -> None:
    """An image without the provider's count has an estimate above zero."""
    (message,) = _asked(messages=[_image("data:image/png;base64,AAAA")]).conversation
    usage = UsageMeter(ModelRequest("model", (message,), 10)).usage(is_complete=True)
    assert (usage.source, usage.input_tokens >= 1000) == ("estimate", True)


def test_an_answer_comes_back_as_the_sdk_keeps_it() -> None:
    """Unknown fields of a message, such as `parsed`, are ignored."""
    call = {**_CALL, "index": 0, "function": {**_CALL["function"], "parsed_arguments": {"at": "it"}}}
    sent_text = {**_CALLED, "tool_calls": [call], "parsed": None, "annotations": [], "refusal": None}
    result = {**_RESULT, "name": "look"}
    shown = _image("data:image/png;base64,AAAA")
    shown["content"][0] |= {"cache_control": {"type": "ephemeral"}}
    shown["content"][0]["image_url"]["detail"] = None
    _, called, received, seen = _asked(messages=[_HI, sent_text, result, shown], tools=[_TOOL]).conversation
    assert (called.tool_calls[0].arguments, received.content) == ({"at": "it"}, "it")
    assert seen.images == (Image("image/png", "AAAA", "auto"),)


def test_options_say_how_to_answer() -> None:
    """Tool choice, parallel calls, stop and schema are options of the model call."""
    chosen = {"type": "function", "function": {"name": "look"}}
    named = _asked(tools=[_TOOL], tool_choice=chosen, parallel_tool_calls=False, stop="END").options
    assert (named.must_call, named.may_call_in_parallel, named.stop) == ("look", False, ("END",))
    assert named.tools[0].parameters == {"type": "object", "properties": {}}
    assert _asked(tools=[_TOOL], tool_choice="required").options.must_call is True
    assert _asked(tools=[_TOOL], tool_choice="none").options.may_call_tools is False
    assert _asked(response_format={"type": "json_object"}).options.output_schema == ANY_OBJECT
    schema = {"name": "x", "schema": {"type": "object"}, "strict": True}
    received = _asked(response_format={"type": "json_schema", "json_schema": schema}).options
    assert received.output_schema == {"type": "object"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [_HI, _RESULT | {"content": 5}]}, "messages.1.content"),
        ({"messages": [_HI, {"role": "tool", "content": "it"}]}, "messages.1.tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
        ({"messages": [_image("https://example.com/cat.png")]}, "messages.0.content.0.image_url.url"),
        ({"messages": [_HI, _CALLED]}, "messages"),
        ({"tools": [_TOOL, _TOOL]}, "tools"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "messages.0.role"),
        ({"messages": [{"content": "Hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content.0.type"),
        ({"n": 2}, "n"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"stop": 5}, "stop"),
    ],
)
def test_what_is_wrong_is_named_as_the_caller_knows_it(fields: dict[str, Any], param: str) -> None:
    """The error has the path in the body, without names of our models."""
    with pytest.raises(Unprocessable) as caught:
        parse_body(json.dumps({"model": "gpt-4o", "messages": [_HI]} | fields).encode(), CompletionRequest)
    assert caught.value.param == param
    assert caught.value.message.startswith(f"{param}: ")


def test_what_is_asked_says_what_it_takes() -> None:
    """`needs` has the abilities by their names in the catalogue."""
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    assert _asked().needs == ()
    assert _asked(tools=[]).needs == ()
    assert _asked(response_format={"type": "text"}).needs == ()
    assert _asked(tools=[_TOOL]).needs == ("supports_tools",)
    assert _asked(messages=[_image("data:image/png;base64,AAAA")]).needs == ("supports_vision",)
    assert _asked(response_format=schema).needs == ("supports_json",)


_MANY = 5000


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [1] * _MANY},
        {"messages": [{"role": "user", "content": [1] * _MANY}]},
        {"messages": [{"role": "user", "content": [{}] * _MANY}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}] * _MANY}]},
        {"messages": [{"role": "system", "content": [1] * _MANY}]},
        {"messages": [{"role": "assistant", "content": [1] * _MANY}]},
        {"messages": [{"role": "assistant", "tool_calls": [1] * _MANY}]},
        {"tools": [1] * _MANY},
        {"stop": [1] * _MANY},
        {"modalities": [1] * _MANY},
    ],
    ids=lambda fields: str(fields)[:60],
)
def test_what_is_wrong_a_thousand_times_is_reported_once(fields: dict[str, Any]) -> None:
    """A long list with many errors reports the first one only."""
    with pytest.raises(ValidationError) as caught:
        _asked(**fields)
    assert caught.value.error_count() <= 3


@pytest.mark.parametrize(
    "neutral",
    [
        {"n": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logprobs": False},
        {"user": "x", "seed": 7, "store": True, "metadata": {"a": "b"}, "service_tier": "auto", "modalities": ["text"]},
        {"stream": None, "tools": [], "stop": None, "stream_options": {"include_usage": True}},
        {
            "top_logprobs": 0,
            "logit_bias": {},
            "top_k": -1,
            "audio": None,
            "prediction": None,
            "web_search_options": None,
        },
        {"tools": [{"type": "function", "function": {"name": "look", "description": None, "parameters": None}}]},
    ],
)
def test_what_changes_nothing_is_taken(neutral: dict[str, Any]) -> None:
    """Fields that SDKs send and that do not change the answer are accepted."""
    assert _asked(**neutral).question == "Hi"


@pytest.mark.parametrize(
    "refused",
    [
        {"n": 2},
        {"logprobs": True},
        {"top_logprobs": 2},
        {"audio": {"voice": "alloy"}},
        {"modalities": ["text", "audio"]},
        {"functions": [{"name": "look"}]},
        {"function_call": "auto"},
        {"top_p": 1.5},
        {"logit_bias": {"1": 500}},
        {"metadata": {"a": "x" * 17_000}},
        {"messages": [{"role": "system", "content": None}, {"role": "user", "content": None}]},
        {"messages": [_image("data:image/png;base64,A")]},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "alone"}]},
        {"messages": [_CALLED, _RESULT]},
        {"messages": [{"role": "user", "content": " \n"}]},
        {"messages": [_HI, _RESULT]},
        {"messages": [_HI, _CALLED]},
        {"messages": [_HI, _CALLED, _HI, _RESULT]},
        {"messages": [_HI, {"role": "assistant", "tool_calls": [_CALL, _CALL]}, _RESULT]},
        {"messages": [_HI, *_rounds_of('{"at": [' + "[]," * 51_000 + "1]}", 2)]},
        {"messages": [_image("https://example.com/cat.png")]},
        {"messages": [_image("data:image/svg+xml;base64,AAAA")]},
        {"messages": [_image("data:image/png;base64,AAAA")] * 17},
        {"tools": [_TOOL, _TOOL]},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "other"}}, "tools": [_TOOL]},
        {"max_tokens": 0},
    ],
    ids=lambda fields: str(fields)[:60],
)
def test_what_cannot_be_done_is_refused(refused: dict[str, Any]) -> None:
    """A field that cannot be honoured is 422 instead of being ignored."""
    with pytest.raises(ValidationError):
        _asked(**refused)


_PNG = "data:image/png;base64,AAAA"
_LOOKS: dict[str, Any] = {"role": "tool", "tool_call_id": "c1"}


@pytest.mark.parametrize(
    ("messages", "received"),
    [
        ([{"role": "system", "content": "Be brief."}], [("user", "Be brief.")]),
        (
            [{"role": "system", "content": "A"}, {"role": "developer", "content": "B"}, {"role": "user"}],
            [("system", "A"), ("user", "B"), ("user", "")],
        ),
        (
            [_HI, {"role": "assistant", "content": None}, {"role": "user", "content": ""}],
            [("user", "Hi"), ("assistant", ""), ("user", "")],
        ),
        ([_HI, _CALLED, _LOOKS | {"content": None}], [("user", "Hi"), ("assistant", ""), ("tool", "")]),
        ([{"role": "user", "content": ["Hi", {"type": "input_text", "text": " you"}]}], [("user", "Hi you")]),
        (
            [
                _HI,
                {
                    "role": "assistant",
                    "reasoning": "hm",
                    "audio": {"id": "a"},
                    "content": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "Yes"}],
                },
                _HI,
            ],
            [("user", "Hi"), ("assistant", "Yes"), ("user", "Hi")],
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_messages_are_taken_as_clients_send_them(
    messages: list[dict[str, Any]], received: list[tuple[str, str]]
) -> None:
    """Null and empty contents, instructions alone, texts as parts, and reasoning, which is left out."""
    assert [(each.role, each.content) for each in _asked(messages=messages).conversation] == received


@pytest.mark.parametrize(
    ("image", "kept"),
    [
        (_PNG, Image("image/png", "AAAA")),
        ({"url": "data:image/jpg;base64,AAAA"}, Image("image/jpeg", "AAAA")),
        ({"url": "data:image/PNG;charset=utf-8;base64,AA\nAA"}, Image("image/png", "AAAA")),
        ({"url": "data:image/webp;base64,AAA"}, Image("image/webp", "AAA=")),
    ],
)
def test_odd_image_urls_are_taken(image: object, kept: Image) -> None:
    """A string for the object, image/jpg, parameters, line ends and missing padding."""
    asked = _asked(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": image}]}])
    assert asked.conversation[0].images == (kept,)


def test_images_of_tool_results_follow_them() -> None:
    """They are the user's message after all results of a round; the question stays the user's own."""
    content = [{"type": "text", "text": "seen"}, {"type": "image_url", "image_url": _PNG}]
    calls = [_call("c1"), _call("c2")]
    results = [_LOOKS | {"content": content}, {"role": "tool", "tool_call_id": "c2", "content": "none"}]
    asked = _asked(messages=[_HI, {"role": "assistant", "tool_calls": calls}, *results])
    assert [each.role for each in asked.conversation] == ["user", "assistant", "tool", "tool", "user"]
    assert asked.conversation[-1].images == (Image("image/png", "AAAA"),)
    assert (asked.question, asked.needs) == ("Hi", ("supports_vision",))


def test_calls_are_taken_as_clients_keep_them() -> None:
    """A call may lack its type, and have its arguments as an object."""
    call = {"id": "c1", "function": {"name": "look", "arguments": {"at": "it"}}}
    _, called, _ = _asked(messages=[_HI, {"role": "assistant", "tool_calls": [call]}, _RESULT]).conversation
    assert called.tool_calls[0].arguments == {"at": "it"}


def test_marks_for_the_cache_keep_their_places() -> None:
    """`cache_control` of a part, or of a whole message, marks a part."""
    parts = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    system = {"role": "system", "content": "Be brief.", "cache_control": {"type": "ephemeral"}}
    received = _asked(messages=[system, {"role": "user", "content": parts}]).conversation
    assert [(each.parts, each.cached_parts) for each in received] == [(("Be brief.",), (0,)), (("a", "b"), (0,))]


def test_parameters_are_passed_on_and_unknown_fields_are_named() -> None:
    """Neutral values and null are left out; what Parley does not know is named."""
    asked = _asked(
        top_p=0.5,
        frequency_penalty=0,
        logit_bias={"7": -100},
        seed=3,
        min_p=None,
        temperature=0.2,
        user="me",
        reasoning={"effort": "low"},
        extra=None,
        options="x",
    )
    assert asked.options.parameters == {"top_p": 0.5, "logit_bias": {"7": -100}, "seed": 3}
    assert asked.wishes.fields == ("user", "reasoning", "options")
    assert asked.question == "Hi"
