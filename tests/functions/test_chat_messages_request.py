"""The body of Anthropic's messages: what clients send, and what a provider gets of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.chat.protocols.messages.request import MessagesRequest
from functions.chat.protocols.stateless import StatelessRequest
from shared.body import parse_body
from shared.errors import Unprocessable
from shared.messages import CALLER, Image, ProviderPayload, Tool

_HI: dict[str, Any] = {"role": "user", "content": "Hi"}
_LOOK = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}
_USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "it"}}
_RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen"}]}
_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/jpg", "data": "AAAA"}}
_MARK = {"cache_control": {"type": "ephemeral"}}

# A request of Claude Code 2, by its public documentation and issues: beta fields, a billing block, marks for the cache.
CLAUDE_CODE: dict[str, Any] = {
    "model": "anthropic:claude",
    "max_tokens": 32_000,
    "stream": True,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.37; cc_entrypoint=cli; cch=fa690;"},
        {"type": "text", "text": "You are Claude Code, Anthropic's official CLI for Claude.", **_MARK},
        {"type": "text", "text": "Use the tools.", **_MARK},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "<system-reminder>Today.</system-reminder>"}, _IMAGE]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, _USE]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": "none", **_MARK},
                {"type": "text", "text": "And now?"},
            ],
        },
        {"role": "system", "content": "Be brief."},
    ],
    "tools": [
        _LOOK | {"eager_input_streaming": True},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
    ],
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "medium"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "metadata": {"user_id": "user_1_account__session_2"},
    "betas": ["interleaved-thinking-2025-05-14"],
}


def _asked(**fields: Any) -> StatelessRequest:
    body = {"model": "m", "max_tokens": 100, "messages": [_HI]} | fields
    return parse_body(json.dumps(body).encode(), MessagesRequest).stateless


def test_a_request_of_claude_code_is_taken_as_it_is() -> None:
    """Results of tools are messages, marks keep their places, and what has no effect is named."""
    asked = _asked(**CLAUDE_CODE)
    assert [m.role for m in asked.conversation] == ["system", "user", "assistant", "tool", "user", "system"]
    system, first, called, result, question, _ = asked.conversation
    assert (len(system.parts), system.cached_parts) == (2, (0, 1))
    assert "billing" not in system.content
    assert first.images == (Image("image/jpeg", "AAAA"),)
    assert called.native == ProviderPayload(
        "anthropic", [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, _USE]
    )
    assert (result.content, result.is_error, result.cached_parts) == ("none", True, (0,))
    assert (question.content, asked.question) == ("And now?", "And now?")
    assert asked.wishes.fields == ("context_management", "betas", "tools.1")
    assert asked.options.tools == (Tool("look", "Looks.", {"type": "object"}),)
    assert asked.options.parameters == {"reasoning_effort": "medium", "thinking": {"type": "adaptive"}}
    assert (asked.is_streamed, asked.max_tokens, asked.endpoint) == (True, 32_000, "messages")


@pytest.mark.parametrize(
    ("budget", "effort"), [(1_024, "low"), (4_096, "low"), (10_000, "medium"), (32_000, "high"), (None, None)]
)
def test_a_budget_of_thinking_is_an_effort_for_other_models(budget: int | None, effort: str | None) -> None:
    """Claude gets the budget itself."""
    thinking = {"type": "enabled"} | ({} if budget is None else {"budget_tokens": budget})
    parameters = _asked(thinking=thinking).options.parameters
    assert (parameters["thinking"], parameters.get("reasoning_effort")) == (thinking, effort)


def test_reasoning_of_other_models_is_not_sent_to_claude_as_its_own() -> None:
    """It has no signature; hosts that want it back before a call get it."""
    earlier = [{"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "text", "text": "Look."}, _USE]
    _, called, _ = _asked(messages=[_HI, {"role": "assistant", "content": earlier}, _RESULT]).conversation
    assert called.native == ProviderPayload(CALLER, {"reasoning_content": "Hm."})
    assert (called.content, called.tool_calls[0].arguments) == ("Look.", {"at": "it"})


def test_unusual_ids_are_replaced_in_claudes_blocks_too() -> None:
    """Call, block and result have the same new id."""
    use = _USE | {"id": "functions.look:0"}
    earlier = [{"type": "redacted_thinking", "data": "x"}, use]
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use["id"]}]}
    _, called, answered = _asked(messages=[_HI, {"role": "assistant", "content": earlier}, result]).conversation
    assert called.native is not None
    assert called.native.content[1]["id"] == called.tool_calls[0].id == answered.tool_call_id
    assert str(answered.tool_call_id).startswith("call_")


def test_blocks_of_anthropics_own_tools_are_left_out() -> None:
    """An answer with them may go back to any model; documents of text and search results are text."""
    earlier = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "text", "text": "Yes."},
    ]
    document = {"type": "document", "title": "A", "source": {"type": "text", "media_type": "text/plain", "data": "B"}}
    found = {"type": "search_result", "title": "C", "source": "D", "content": [{"type": "text", "text": "E"}]}
    asked = _asked(
        messages=[_HI, {"role": "assistant", "content": earlier}, {"role": "user", "content": [document, found]}]
    )
    assert [m.content for m in asked.conversation] == ["Hi", "Yes.", "A\n\nBC\nD\nE"]


@pytest.mark.parametrize(
    ("choice", "must_call", "may_call", "in_parallel"),
    [
        ({"type": "auto"}, False, True, True),
        ({"type": "any", "disable_parallel_tool_use": True}, True, True, False),
        ({"type": "tool", "name": "look"}, "look", True, True),
        ({"type": "none"}, False, False, True),
    ],
)
def test_choices_of_tools(choice: dict[str, Any], must_call: bool | str, may_call: bool, in_parallel: bool) -> None:
    """Each of Anthropic's has its meaning for every provider."""
    options = _asked(tools=[_LOOK], tool_choice=choice).options
    assert (options.must_call, options.may_call_tools, options.may_call_in_parallel) == (
        must_call,
        may_call,
        in_parallel,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [_HI, {"role": "assistant", "content": [_USE]}]},
        {"messages": [_RESULT]},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://x"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "base64", "data": "x"}}]}]},
        {"messages": [{"role": "user", "content": [_IMAGE] * 17}]},
        {"tools": [_LOOK], "tool_choice": {"type": "tool", "name": "other"}},
        {"tool_choice": {"type": "any"}},
        {"max_tokens": 0},
        {"stream": "yes"},
    ],
    ids=lambda fields: str(fields)[:60],
)
def test_what_cannot_be_done_is_refused(fields: dict[str, Any]) -> None:
    """The error names the field."""
    with pytest.raises(Unprocessable) as caught:
        _asked(**fields)
    assert caught.value.param
