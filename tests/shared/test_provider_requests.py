"""Requests in the dialect of each provider: images, tools, stop sequences, JSON."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest

from shared.messages import ANY_OBJECT, Image, Message, ModelRequest, Tool, ToolCall
from shared.providers.anthropic_messages import request_arguments
from shared.providers.anthropic_messages import stop_reason_of as claude_reason
from shared.providers.chat_completions import request_body
from shared.providers.gemini import _config  # the only place with the SDK's arguments
from shared.providers.gemini_messages import contents_of
from shared.providers.gemini_messages import stop_reason_of as gemini_reason
from shared.providers.matcha import _until
from shared.token_bounds import token_upper_bound

_DATA = b64encode(b"picture").decode()
_SEEN = Message("user", "What is it?", parts=("What is ", Image("image/png", _DATA, "low"), "it?"))
_CALL = ModelRequest("model", (_SEEN,), 100)
_ABLE = replace(_CALL, tools=(Tool("look", "Looks.", {"type": "object"}),))


def test_an_image_is_between_its_texts_in_every_dialect() -> None:
    """It is sent as data with its media type; the texts before and after keep their places."""
    (openai,) = request_body(_CALL)["messages"]
    url = {"url": f"data:image/png;base64,{_DATA}", "detail": "low"}
    assert openai["content"][1] == {"type": "image_url", "image_url": url}
    (claude,) = request_arguments(_CALL)["messages"]
    assert claude["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": _DATA}
    (gemini,) = contents_of(_CALL)
    parts: Any = gemini.parts  # type: ignore[union-attr]
    assert (parts[1].inline_data.mime_type, parts[1].inline_data.data) == ("image/png", b"picture")
    assert [part["text"] for part in (*openai["content"][::2], *claude["content"][::2])] == ["What is ", "it?"] * 2


def test_an_image_reserves_the_maximum() -> None:
    """No image is free."""
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
def test_tool_choice_has_each_providers_form(
    changes: dict[str, Any], openai: dict[str, Any], claude: Any, gemini: tuple[str, Any] | None
) -> None:
    """Free choice is left out, as it is the default of every provider."""
    call = replace(_ABLE, **changes)
    body = request_body(call)
    assert {name: body[name] for name in ("tool_choice", "parallel_tool_calls") if name in body} == openai
    assert request_arguments(call).get("tool_choice") == claude
    tool_config: Any = _config(call).tool_config
    calling = tool_config and tool_config.function_calling_config
    assert (calling and (calling.mode.value, calling.allowed_function_names)) == gemini


def test_stop_sequences_are_sent_or_applied() -> None:
    """Providers get them; MatchAI has no parameter, so its answer is cut."""
    call = replace(_CALL, stop=("END",))
    assert (request_body(call)["stop"], request_arguments(call)["stop_sequences"]) == (["END"], ["END"])
    assert _config(call).stop_sequences == ["END"]
    assert (_until("one END two", ("two", "END")), _until("one", ("END",)), _until("one", ())) == ("one ", "one", "one")


def test_any_json_object_is_requested_in_each_providers_way() -> None:
    """A mode where there is one, a prompt for Claude."""
    call = replace(_CALL, output_schema=ANY_OBJECT)
    assert request_body(call)["response_format"] == {"type": "json_object"}
    arguments = request_arguments(call)
    assert "output_config" not in arguments
    assert "JSON object" in arguments["system"]
    config = _config(call)
    assert (config.response_mime_type, config.response_json_schema) == ("application/json", None)


def test_calls_without_claudes_thinking_switch_it_off() -> None:
    """Only in the current turn: earlier turns need no thinking blocks."""
    called = Message("assistant", "", (ToolCall("c1", "look", {}),))
    result = Message("tool", "it", tool_call_id="c1")
    now = replace(_ABLE, messages=(Message("user", "Hi"), called, result))
    assert request_arguments(now)["thinking"] == {"type": "disabled"}
    assert "thinking" not in request_arguments(replace(now, messages=(*now.messages, Message("user", "And?"))))


@pytest.mark.parametrize("first", [(), (Message("user", " "),)])
def test_a_conversation_begins_with_a_user_message(first: tuple[Message, ...]) -> None:
    """Claude and Gemini require it; earlier messages, calls and results are left out together."""
    called = (Message("assistant", "", (ToolCall("a", "look", {}),)), Message("tool", "it", tool_call_id="a"))
    call = replace(_ABLE, messages=(Message("system", "Be kind."), *first, *called, Message("user", "And?"), *called))
    claude = [(message["role"], message["content"][0]["type"]) for message in request_arguments(call)["messages"]]
    assert claude == [("user", "text"), ("assistant", "tool_use"), ("user", "tool_result")]
    contents: Any = contents_of(call)
    assert [content.role for content in contents] == ["user", "model", "user"]
    assert contents[0].parts[0].text == "And?"


def test_claude_gets_no_white_space_at_the_end_of_an_assistants_text() -> None:
    """The API refuses it at the end of a prefill; text that is nothing else is left out."""
    request = ModelRequest(
        "m", (Message("user", "Name it"), Message("assistant", "It is \n"), Message("assistant", " ")), 9
    )
    messages = request_arguments(request)["messages"]
    assert messages[1:] == [{"role": "assistant", "content": [{"type": "text", "text": "It is"}]}]
    assert messages[0]["content"][0]["text"] == "Name it"


@pytest.mark.parametrize("reason", ["model_exploded", None])
def test_claudes_unknown_ends_are_none(reason: str | None) -> None:
    """The same for Gemini: only the documented reasons end an answer."""
    assert claude_reason(reason) == "truncated"
    assert gemini_reason(reason, has_calls=False) == "truncated"


def test_claude_caches_up_to_the_last_four_marks() -> None:
    """A marked system prompt is sent as blocks; other providers get the text."""
    marked = Message("system", "Be brief.", parts=("Be brief.",), cached_parts=(0,))
    asked = Message("user", "abcd", parts=("a", "b", "c", "d"), cached_parts=(0, 1, 2, 3))
    call = replace(_CALL, messages=(marked, asked))
    arguments = request_arguments(call)
    assert arguments["system"] == [{"type": "text", "text": "Be brief."}]
    assert [block["cache_control"] for block in arguments["messages"][0]["content"]] == [{"type": "ephemeral"}] * 4
    assert [message["content"] for message in request_body(call)["messages"]] == ["Be brief.", "abcd"]


def test_the_first_system_messages_are_one() -> None:
    """Some chat templates take one system message, at the start; a later one stays."""
    given = (Message("system", "A"), Message("system", "B"), Message("user", "Hi"), Message("system", "C"))
    sent = request_body(replace(_CALL, messages=given))["messages"]
    assert [(each["role"], each["content"]) for each in sent] == [("system", "A\n\nB"), ("user", "Hi"), ("system", "C")]
