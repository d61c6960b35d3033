"""What the body of chat completions may not have, and what it may have without effect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from functions.chat.protocols.completions.request import CompletionRequest
from shared.body import parse_body
from shared.errors import Unprocessable
from tests.functions.completion_bodies import (
    CALL,
    CALLED,
    HI,
    RESULT,
    TOOL,
    completion,
    image_message,
    rounds_of,
)

_MANY = 5000


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [HI, RESULT | {"content": 5}]}, "messages.1.content"),
        ({"messages": [HI, {"role": "tool", "content": "it"}]}, "messages.1.tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
        ({"messages": [image_message("https://example.com/cat.png")]}, "messages.0.content.0.image_url.url"),
        ({"messages": [HI, CALLED]}, "messages"),
        ({"tools": [TOOL, TOOL]}, "tools"),
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
        parse_body(json.dumps({"model": "gpt-4o", "messages": [HI]} | fields).encode(), CompletionRequest)
    assert caught.value.param == param
    assert caught.value.message.startswith(f"{param}: ")


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
        completion(**fields)
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
    assert completion(**neutral).stateless.question == "Hi"


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
        {"messages": [image_message("data:image/png;base64,A")]},
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "alone"}]},
        {"messages": [CALLED, RESULT]},
        {"messages": [{"role": "user", "content": " \n"}]},
        {"messages": [HI, RESULT]},
        {"messages": [HI, CALLED]},
        {"messages": [HI, CALLED, HI, RESULT]},
        {"messages": [HI, {"role": "assistant", "tool_calls": [CALL, CALL]}, RESULT]},
        {"messages": [HI, *rounds_of('{"at": [' + "[]," * 51_000 + "1]}", 2)]},
        {"messages": [image_message("https://example.com/cat.png")]},
        {"messages": [image_message("data:image/svg+xml;base64,AAAA")]},
        {"messages": [image_message("data:image/png;base64,AAAA")] * 17},
        {"tools": [TOOL, TOOL]},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "other"}}, "tools": [TOOL]},
        {"max_tokens": 0},
    ],
    ids=lambda fields: str(fields)[:60],
)
def test_what_cannot_be_done_is_refused(refused: dict[str, Any]) -> None:
    """A field that cannot be honoured is 422 instead of being ignored."""
    with pytest.raises(ValidationError):
        completion(**refused)
