"""What the providers are asked for, in their own dialects, where callers choose: images, tools, stops, JSON."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest

from shared.messages import ANY_OBJECT, Image, Message, ModelRequest, Tool, ToolCall
from shared.providers.anthropic_messages import asked_of
from shared.providers.chat_completions import request_body
from shared.providers.gemini import _config  # what the SDK is given stands nowhere else
from shared.providers.gemini_messages import contents_of
from shared.providers.matcha import _until
from shared.usage import token_upper_bound

_DATA = b64encode(b"picture").decode()
_SEEN = Message("user", "What is it?", parts=("What is ", Image("image/png", _DATA, "low"), "it?"))
_CALL = ModelRequest("model", (_SEEN,), 100)
_ABLE = replace(_CALL, tools=(Tool("look", "Looks.", {"type": "object"}),))


def test_an_image_stands_between_the_words_in_every_dialect() -> None:
    """As data, with its kind; words before and after it stay there."""
    (openai,) = request_body(_CALL)["messages"]
    url = {"url": f"data:image/png;base64,{_DATA}", "detail": "low"}
    assert openai["content"][1] == {"type": "image_url", "image_url": url}
    (claude,) = asked_of(_CALL)["messages"]
    assert claude["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": _DATA}
    (gemini,) = contents_of(_CALL)
    parts: Any = gemini.parts  # type: ignore[union-attr]
    assert (parts[1].inline_data.mime_type, parts[1].inline_data.data) == ("image/png", b"picture")
    assert [part["text"] for part in (*openai["content"][::2], *claude["content"][::2])] == ["What is ", "it?"] * 2


def test_an_image_counts_as_much_as_any_can() -> None:
    """Nobody looks at a picture for free."""
    assert token_upper_bound((_SEEN,)) - token_upper_bound((replace(_SEEN, parts=()),)) == 48_200


@pytest.mark.parametrize(
    ("changes", "openai", "claude", "gemini"),
    [
        ({}, {}, None, None),
        ({"must_call": True}, {"tool_choice": "required"}, {"type": "any"}, ("ANY", None)),
        (
            {"must_call": "look"},
            {"tool_choice": {"type": "function", "function": {"name": "look"}}},
            {"type": "tool", "name": "look"},
            ("ANY", ["look"]),
        ),
        ({"may_call_tools": False}, {"tool_choice": "none"}, {"type": "none"}, ("NONE", None)),
        (
            {"may_call_in_parallel": False},
            {"parallel_tool_calls": False},
            {"type": "auto", "disable_parallel_tool_use": True},
            None,
        ),
    ],
)
def test_the_choice_of_tools_is_each_providers_own(
    changes: dict[str, Any], openai: dict[str, Any], claude: Any, gemini: tuple[str, Any] | None
) -> None:
    """Free choice is not mentioned: that is what every provider does anyway."""
    call = replace(_ABLE, **changes)
    body = request_body(call)
    assert {name: body[name] for name in ("tool_choice", "parallel_tool_calls") if name in body} == openai
    assert asked_of(call).get("tool_choice") == claude
    told: Any = _config(call).tool_config
    calling = told and told.function_calling_config
    assert (calling and (calling.mode.value, calling.allowed_function_names)) == gemini


def test_an_answer_ends_where_it_is_to_stop() -> None:
    """Providers are told; MatchAI cannot be, so its answer is cut."""
    call = replace(_CALL, stop=("END",))
    assert (request_body(call)["stop"], asked_of(call)["stop_sequences"]) == (["END"], ["END"])
    assert _config(call).stop_sequences == ["END"]
    assert (_until("one END two", ("two", "END")), _until("one", ("END",)), _until("one", ())) == ("one ", "one", "one")


def test_any_object_is_asked_for_in_each_providers_way() -> None:
    """A mode where there is one, words for Claude."""
    call = replace(_CALL, output_schema=ANY_OBJECT)
    assert request_body(call)["response_format"] == {"type": "json_object"}
    asked = asked_of(call)
    assert "output_config" not in asked
    assert "JSON object" in asked["system"]
    config = _config(call)
    assert (config.response_mime_type, config.response_json_schema) == ("application/json", None)


def test_calls_without_claudes_thinking_switch_it_off() -> None:
    """Only in the turn they belong to: what lies further back needs none."""
    called = Message("assistant", "", (ToolCall("c1", "look", {}),))
    result = Message("tool", "it", tool_call_id="c1")
    now = replace(_ABLE, messages=(Message("user", "Hi"), called, result))
    assert asked_of(now)["thinking"] == {"type": "disabled"}
    assert "thinking" not in asked_of(replace(now, messages=(*now.messages, Message("user", "And?"))))


@pytest.mark.parametrize("first", [(), (Message("user", " "),)])
def test_a_conversation_begins_with_a_persons_words(first: tuple[Message, ...]) -> None:
    """Claude and Gemini insist; what was said, called and answered before them is left out together."""
    called = (Message("assistant", "", (ToolCall("a", "look", {}),)), Message("tool", "it", tool_call_id="a"))
    call = replace(_ABLE, messages=(Message("system", "Be kind."), *first, *called, Message("user", "And?"), *called))
    claude = [(message["role"], message["content"][0]["type"]) for message in asked_of(call)["messages"]]
    assert claude == [("user", "text"), ("assistant", "tool_use"), ("user", "tool_result")]
    contents: Any = contents_of(call)
    assert [content.role for content in contents] == ["user", "model", "user"]
    assert contents[0].parts[0].text == "And?"
