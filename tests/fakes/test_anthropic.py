"""The scripted Claude, with Anthropic's SDK."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.fakes.clients import (
    ask_claude,
    claude_text,
)
from tests.fakes.providers import GOLDEN

pytestmark = pytest.mark.anyio
_ANSWER = "one two three"
_TOOLS = ("search", "weather")
_NOTE = 'zwei — "drei"'
_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"query": {"type": "string"}}}


async def test_claude_sends_thinking_text_and_usage(claude: anthropic.AsyncAnthropic) -> None:
    """A thinking block with signature, then text; usage is spread over start and delta."""
    events = await ask_claude(claude, "think")
    deltas = [e.delta.type for e in events if e.type == "content_block_delta"]
    start, delta = events[0].message.usage, next(e for e in events if e.type == "message_delta")
    assert deltas == ["thinking_delta", "signature_delta", "text_delta", "text_delta", "text_delta"]
    assert claude_text(events) == _ANSWER
    assert delta.delta.stop_reason == "end_turn"
    assert (start.input_tokens + start.cache_read_input_tokens, start.cache_read_input_tokens) == (60, 20)
    assert (delta.usage.output_tokens, delta.usage.output_tokens_details.thinking_tokens) == (12, 4)


async def test_claude_requires_its_thinking_with_tool_calls(claude: anthropic.AsyncAnthropic) -> None:
    """Its own turn is accepted; without the thinking, its signature or a result it is 400."""
    tools = [{"name": name, "input_schema": _SCHEMA} for name in _TOOLS]
    question = {"role": "user", "content": "hi there"}
    async with claude.messages.stream(
        model="tools",
        max_tokens=100,
        messages=[{"role": "user", "content": "hi there"}],
        tools=tools,  # type: ignore[arg-type]
    ) as stream:
        message = await stream.get_final_message()
    blocks = [block.model_dump(exclude_none=True, include=None) for block in message.content]
    blocks = [{key: value for key, value in block.items() if key != "parsed_output"} for block in blocks]
    calls = [block for block in blocks if block["type"] == "tool_use"]
    assert message.stop_reason == "tool_use"
    assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use", "tool_use"]
    assert [(call["name"], call["input"]) for call in calls] == [
        (name, {"query": "hi there", "note": _NOTE}) for name in _TOOLS
    ]
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"} for call in calls]

    def conversation(turn: list[Any], results_sent: list[Any]) -> list[Any]:
        return [question, {"role": "assistant", "content": turn}, {"role": "user", "content": results_sent}]

    events = await ask_claude(claude, "tools", messages=conversation(blocks, results), tools=tools)
    assert claude_text(events).strip() == "The tool said: sunny | sunny"
    forged = [blocks[0] | {"signature": "x"}, *blocks[1:]]
    for turn, results_sent in ((blocks[1:], results), (forged, results), (blocks, results[:1])):
        with pytest.raises(anthropic.BadRequestError):
            await ask_claude(claude, "tools", messages=conversation(turn, results_sent), tools=tools)


async def test_claude_rejects_sampling_parameters(claude: anthropic.AsyncAnthropic) -> None:
    """A request with temperature, top_p or top_k is 400."""
    for name in ("temperature", "top_p", "top_k"):
        with pytest.raises(anthropic.BadRequestError, match="not permitted"):
            await ask_claude(claude, "echo", extra_body={name: 1})


async def test_claude_errors_have_types(claude: anthropic.AsyncAnthropic) -> None:
    """A wrong key, a rate limit, an empty account and an overload inside the stream have different types."""
    with pytest.raises(anthropic.AuthenticationError) as wrong:
        await ask_claude(claude.with_options(api_key="bad"), "echo")
    with pytest.raises(anthropic.RateLimitError) as limited:
        await ask_claude(claude, "status-429-after-7")
    with pytest.raises(anthropic.BadRequestError) as broke:
        await ask_claude(claude, "credit")
    with pytest.raises(anthropic.APIStatusError) as busy:
        await ask_claude(claude, "overload")
    assert [each.value.type for each in (wrong, limited, broke, busy)] == [
        "authentication_error",
        "rate_limit_error",
        "billing_error",
        "overloaded_error",
    ]
    assert limited.value.response.headers["retry-after"] == "7"
    assert busy.value.status_code == 200


async def test_claude_answers_without_a_stream(claude: anthropic.AsyncAnthropic) -> None:
    """The same answer is one message."""
    answer = await claude.messages.create(
        model="think", max_tokens=100, messages=[{"role": "user", "content": "hi there"}]
    )
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.usage.output_tokens == GOLDEN["output_tokens"]
