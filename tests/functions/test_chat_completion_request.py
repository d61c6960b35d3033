"""The body of chat completions, and its conversion to our values."""

from __future__ import annotations

from typing import Any

import pytest

from shared.messages import ANY_OBJECT, Format, Image, ModelRequest
from shared.providers.tool_calls import is_usual_id
from shared.usage import UsageMeter
from tests.functions.completion_bodies import (
    CALL,
    CALLED,
    HI,
    RESULT,
    TOOL,
    call_of,
    completion,
    image_message,
)


def test_a_conversation_with_tools_goes_through_as_it_is() -> None:
    """Roles, calls with their arguments, and results with their call ids are kept."""
    developer = {"role": "developer", "content": "Be brief."}
    asked = completion(messages=[developer, HI, CALLED, RESULT], tools=[TOOL])
    system, user, called, result = asked.conversation
    assert (system.role, system.content, user.content) == ("system", "Be brief.", "Hi")
    assert (called.content, called.tool_calls[0].arguments) == ("", {"at": "it"})
    assert (result.role, result.content, result.tool_call_id) == ("tool", "it", "c1")
    assert asked.stateless.question == "Hi"


def _round(*ids: str) -> list[dict[str, Any]]:
    return [
        {"role": "assistant", "tool_calls": [*map(call_of, ids)]},
        *(RESULT | {"tool_call_id": each} for each in ids),
    ]


def test_ids_that_a_provider_would_refuse_are_replaced_in_calls_and_results() -> None:
    """Unusual, long and repeated ids are replaced, in calls and results alike, always by the same ids."""
    messages = [HI, *_round("functions.f:0", "x" * 100, "c1"), *_round("functions.f:0", "c1")]
    received = completion(messages=messages).conversation
    calls = [call.id for message in received for call in message.tool_calls]
    assert calls == [message.tool_call_id for message in received if message.role == "tool"]
    assert len(set(calls)) == 5
    assert calls[2] == "c1"
    assert all(is_usual_id(each) for each in calls)
    assert received == completion(messages=messages).conversation


@pytest.mark.parametrize("arguments", ['{"at": 1e2, "by": 0.10000000000000000555}', '{"at":', "[1]", ""])
def test_arguments_come_back_as_the_model_wrote_them(arguments: str) -> None:
    """Providers that take text get the arguments unchanged, valid or not."""
    (_, called, _) = completion(
        messages=[HI, {"role": "assistant", "tool_calls": [call_of("c1", arguments)]}, RESULT]
    ).conversation
    (call,) = called.tool_calls
    assert (call.text, call.broken) == (arguments or "{}", None)


def test_the_fields_of_a_schema_are_kept() -> None:
    """Schemas of the answer and of tools keep name, description and strictness."""
    schema = {"name": "x", "description": "An x.", "schema": {"type": "object"}, "strict": True}
    asked = completion(
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
    parts = [{"type": "text", "text": "a"}, *image_message("data:image/png;base64,AAAA")["content"]]
    (message,) = completion(messages=[{"role": "user", "content": parts}]).conversation
    assert message.parts == ("a", Image("image/png", "AAAA", "low"))
    assert message.content == "a"


def test_an_uncounted_image_is_estimated() -> None:
    """An image without the provider's count has an estimate above zero."""
    (message,) = completion(messages=[image_message("data:image/png;base64,AAAA")]).conversation
    usage = UsageMeter(ModelRequest("model", (message,), 10)).usage(is_complete=True)
    assert (usage.source, usage.input_tokens >= 1000) == ("estimate", True)


def test_an_answer_comes_back_as_the_sdk_keeps_it() -> None:
    """Unknown fields of a message, such as `parsed`, are ignored."""
    call = {**CALL, "index": 0, "function": {**CALL["function"], "parsed_arguments": {"at": "it"}}}
    sent_text = {**CALLED, "tool_calls": [call], "parsed": None, "annotations": [], "refusal": None}
    result = {**RESULT, "name": "look"}
    shown = image_message("data:image/png;base64,AAAA")
    shown["content"][0] |= {"cache_control": {"type": "ephemeral"}}
    shown["content"][0]["image_url"]["detail"] = None
    _, called, received, seen = completion(messages=[HI, sent_text, result, shown], tools=[TOOL]).conversation
    assert (called.tool_calls[0].arguments, received.content) == ({"at": "it"}, "it")
    assert seen.images == (Image("image/png", "AAAA", "auto"),)


def test_options_say_how_to_answer() -> None:
    """Tool choice, parallel calls, stop and schema are options of the model call."""
    chosen = {"type": "function", "function": {"name": "look"}}
    named = completion(tools=[TOOL], tool_choice=chosen, parallel_tool_calls=False, stop="END").options
    assert (named.must_call, named.may_call_in_parallel, named.stop) == ("look", False, ("END",))
    assert named.tools[0].parameters == {"type": "object", "properties": {}}
    assert completion(tools=[TOOL], tool_choice="required").options.must_call is True
    assert completion(tools=[TOOL], tool_choice="none").options.may_call_tools is False
    assert completion(response_format={"type": "json_object"}).options.output_schema == ANY_OBJECT
    schema = {"name": "x", "schema": {"type": "object"}, "strict": True}
    received = completion(response_format={"type": "json_schema", "json_schema": schema}).options
    assert received.output_schema == {"type": "object"}


def test_what_is_asked_says_what_it_takes() -> None:
    """`needs` has the abilities by their names in the catalogue."""
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    assert completion().stateless.needs == ()
    assert completion(tools=[]).stateless.needs == ()
    assert completion(response_format={"type": "text"}).stateless.needs == ()
    assert completion(tools=[TOOL]).stateless.needs == ("supports_tools",)
    assert completion(messages=[image_message("data:image/png;base64,AAAA")]).stateless.needs == ("supports_vision",)
    assert completion(response_format=schema).stateless.needs == ("supports_json",)


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
            [HI, {"role": "assistant", "content": None}, {"role": "user", "content": ""}],
            [("user", "Hi"), ("assistant", ""), ("user", "")],
        ),
        ([HI, CALLED, _LOOKS | {"content": None}], [("user", "Hi"), ("assistant", ""), ("tool", "")]),
        ([{"role": "user", "content": ["Hi", {"type": "input_text", "text": " you"}]}], [("user", "Hi you")]),
        (
            [
                HI,
                {
                    "role": "assistant",
                    "reasoning": "hm",
                    "audio": {"id": "a"},
                    "content": [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "Yes"}],
                },
                HI,
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
    assert [(each.role, each.content) for each in completion(messages=messages).conversation] == received


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
    asked = completion(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": image}]}])
    assert asked.conversation[0].images == (kept,)


def test_images_of_tool_results_follow_them() -> None:
    """They are the user's message after all results of a round; the question stays the user's own."""
    content = [{"type": "text", "text": "seen"}, {"type": "image_url", "image_url": _PNG}]
    calls = [call_of("c1"), call_of("c2")]
    results = [_LOOKS | {"content": content}, {"role": "tool", "tool_call_id": "c2", "content": "none"}]
    asked = completion(messages=[HI, {"role": "assistant", "tool_calls": calls}, *results])
    assert [each.role for each in asked.conversation] == ["user", "assistant", "tool", "tool", "user"]
    assert asked.conversation[-1].images == (Image("image/png", "AAAA"),)
    assert (asked.stateless.question, asked.stateless.needs) == ("Hi", ("supports_vision",))


def test_calls_are_taken_as_clients_keep_them() -> None:
    """A call may lack its type, and have its arguments as an object."""
    call = {"id": "c1", "function": {"name": "look", "arguments": {"at": "it"}}}
    _, called, _ = completion(messages=[HI, {"role": "assistant", "tool_calls": [call]}, RESULT]).conversation
    assert called.tool_calls[0].arguments == {"at": "it"}


def test_marks_for_the_cache_keep_their_places() -> None:
    """`cache_control` of a part, or of a whole message, marks a part."""
    parts = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    system = {"role": "system", "content": "Be brief.", "cache_control": {"type": "ephemeral"}}
    received = completion(messages=[system, {"role": "user", "content": parts}]).conversation
    assert [(each.parts, each.cached_parts) for each in received] == [(("Be brief.",), (0,)), (("a", "b"), (0,))]


def test_parameters_are_passed_on_and_unknown_fields_are_named() -> None:
    """Neutral values and null are left out; what Parley does not know is named."""
    asked = completion(
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
    assert asked.stateless.question == "Hi"
