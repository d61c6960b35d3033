"""Anthropic's own Python SDK against the running stack, and the requests of Claude Code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest

from tests.fakes.providers import Script, Upstream
from tests.functions.test_chat_messages_request import CLAUDE_CODE
from tests.providers import STREAMING
from tests.stack.conftest import Models
from tests.stack.openai_sdk import last_request
from tests.stack.people import Person, log_row
from tests.stack.turns import Database, reserved_usd

_WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
_TWO_CALLS = Script(("Looking.",), calls=(("get_weather", {"city": "Wien"}), ("get_weather", {"city": "Graz"})))
_HI: Any = [{"role": "user", "content": "Hi there"}]


@pytest.fixture
def client(alice: Person, chat_url: str) -> Iterator[anthropic.Anthropic]:
    """The SDK of Alice, pointed at chat."""
    with anthropic.Anthropic(base_url=chat_url, auth_token=alice.token, api_key=None, max_retries=0) as made:
        yield made


def test_a_message_is_answered_and_logged(
    alice: Person, client: anthropic.Anthropic, able: Models, upstream: Upstream, db: Database
) -> None:
    """The model gets the system prompt and the conversation; the log row has the tokens and the cost."""
    identifier = able("echo")
    answer = client.messages.create(
        model=identifier,
        max_tokens=50,
        system="Be brief.",
        messages=_HI,
        stop_sequences=["END"],
        extra_body={"top_p": 0.5},
    )
    assert [(block.type, block.text) for block in answer.content if block.type == "text"] == [("text", "Hi there ")]
    assert (answer.stop_reason, answer.model, answer.role) == ("end_turn", identifier, "assistant")
    sent = last_request(upstream, identifier)
    assert [m["role"] for m in sent["messages"]] == ["system", "user"]
    assert (sent["max_completion_tokens"], sent["stop"], sent["top_p"]) == (50, ["END"], 0.5)
    row = log_row(db, answer.id.removeprefix("msg_"))
    assert (row["endpoint"], row["status"], row["question"]) == ("messages", "completed", "Hi there")
    usage: Any = answer.usage
    assert (usage.input_tokens + usage.cache_read_input_tokens, usage.output_tokens) == (
        row["input_tokens"],
        row["output_tokens"],
    )
    assert float(row["cost_usd"]) == usage.cost
    assert alice.rows("messages") == []
    assert reserved_usd(db, alice) == 0


@pytest.mark.parametrize("provider", STREAMING)
def test_tools_work_at_every_provider_streamed_and_whole(
    client: anthropic.Anthropic, able: Models, upstream: Upstream, provider: str
) -> None:
    """Parallel calls come to the client, and what the SDK made of the answer goes back with the results."""
    identifier = able("echo", provider)
    upstream.plays[identifier.rpartition(":")[2]] = (_TWO_CALLS, _TWO_CALLS, Script(("Sunny.",)))
    asked: Any = {"model": identifier, "max_tokens": 500, "tools": [_WEATHER]}
    question: Any = {"role": "user", "content": "Weather in Wien and Graz?"}
    whole = client.messages.create(messages=[question], tool_choice={"type": "any"}, **asked)
    with client.messages.stream(messages=[question], **asked) as stream:
        streamed = stream.get_final_message()
    assert whole.stop_reason == streamed.stop_reason == "tool_use"
    uses = [block for block in streamed.content if block.type == "tool_use"]
    assert [use.input for use in uses] == [{"city": "Wien"}, {"city": "Graz"}]
    assert [block.input for block in whole.content if block.type == "tool_use"] == [use.input for use in uses]
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": "20 °C"} for use in uses]
    history: Any = [question, {"role": "assistant", "content": streamed.content}, {"role": "user", "content": results}]
    final: Any = client.messages.create(messages=history, **asked)
    assert final.content[-1].text == "Sunny."
    received = upstream.calls_of(identifier.rpartition(":")[2])[-1]
    assert received.asked is not None
    assert received.asked.tool_results == ("20 °C", "20 °C")


def test_claudes_thinking_goes_back_with_its_signature(
    client: anthropic.Anthropic, able: Models, upstream: Upstream
) -> None:
    """So thinking stays on for the turn: the provider rejects a wrong signature."""
    identifier = able("echo", "anthropic")
    upstream.plays[identifier.rpartition(":")[2]] = (_TWO_CALLS, Script(("Sunny.",)))
    asked: Any = {"model": identifier, "max_tokens": 2000, "tools": [_WEATHER]}
    thinking: Any = {"type": "enabled", "budget_tokens": 1500}
    with client.messages.stream(messages=_HI, thinking=thinking, **asked) as stream:
        called = stream.get_final_message()
    assert called.content[0].type == "thinking"
    assert called.content[0].signature
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "20 °C"}
        for block in called.content
        if block.type == "tool_use"
    ]
    history: Any = [*_HI, {"role": "assistant", "content": called.content}, {"role": "user", "content": results}]
    final: Any = client.messages.create(messages=history, thinking=thinking, **asked)
    assert final.content[-1].text == "Sunny."
    sent = last_request(upstream, identifier)
    assert sent["thinking"] == thinking
    assert sent["messages"][1]["content"][0]["signature"] == called.content[0].signature


def test_a_stream_has_text_and_the_usage_of_the_row(client: anthropic.Anthropic, able: Models, db: Database) -> None:
    """The final usage is the booked one, whatever the first event estimated."""
    with client.messages.stream(model=able("think", "google"), max_tokens=100, messages=_HI) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "one two three"
    assert final.content[0].type == "thinking"
    row = log_row(db, final.id.removeprefix("msg_"))
    counted = final.usage.input_tokens + (final.usage.cache_read_input_tokens or 0)
    assert (counted, final.usage.output_tokens) == (row["input_tokens"], row["output_tokens"])


@pytest.mark.parametrize("provider", STREAMING)
def test_a_request_of_claude_code_is_answered_by_every_provider(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, provider: str
) -> None:
    """With its headers, beta fields, marks for the cache and a tool of Anthropic's own."""
    identifier = able("echo", provider)
    headers = {
        "Authorization": f"Bearer {alice.token}",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
        "x-app": "cli",
        "User-Agent": "claude-cli/2.1.37 (external, cli)",
        "X-Claude-Code-Session-Id": "00000000-0000-4000-8000-000000000000",
    }
    url, body = f"{chat_url}/v1/messages", CLAUDE_CODE | {"model": identifier}
    response = httpx.post(f"{url}?beta=true", json=body, headers=headers, timeout=20)
    assert response.status_code == 200, response.text
    assert response.text.endswith('data: {"type":"message_stop"}\n\n')
    ignored = response.headers["x-ignored-params"].split(", ")
    assert {"context_management", "betas", "tools.1"} <= set(ignored)
    assert "cch=" not in json.dumps(last_request(upstream, identifier))
    counted = httpx.post(f"{url}/count_tokens", json=body, headers=headers, timeout=20)
    assert 30 < counted.json()["input_tokens"] < 2_000


def test_errors_are_those_of_the_sdk(
    alice: Person, client: anthropic.Anthropic, able: Models, chat_url: str, upstream: Upstream
) -> None:
    """An unknown model, a wrong body, a wrong token and an overloaded provider, before and in a stream."""
    asked: Any = {"max_tokens": 10, "messages": _HI}
    with pytest.raises(anthropic.NotFoundError) as unknown:
        client.messages.create(model="no-such-model", **asked)
    body: Any = unknown.value.body
    assert (body["error"]["type"], body["error"]["metadata"]["code"]) == ("not_found_error", "model_not_found")
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model="x", max_tokens=0, messages=_HI)
    stranger = anthropic.Anthropic(base_url=chat_url, auth_token="no", api_key=None, max_retries=0)
    with stranger, pytest.raises(anthropic.AuthenticationError):
        stranger.messages.create(model="x", **asked)
    identifier = able("status-503")
    with pytest.raises(anthropic.OverloadedError):
        client.messages.create(model=identifier, **asked)
    cut = able("cut")
    with pytest.raises(anthropic.APIError), client.messages.stream(model=cut, **asked) as stream:
        stream.get_final_message()
    assert alice.rows("messages") == []
    assert upstream.calls_of(cut.rpartition(":")[2])


def test_models_have_anthropics_shape_for_its_sdk(client: anthropic.Anthropic, able: Models) -> None:
    """The list and a single model, by the same paths."""
    identifier = able("echo")
    listed = {model.id: model for model in client.models.list()}
    assert listed[identifier].max_tokens == 1000
    found = client.models.retrieve(identifier)
    assert (found.id, found.type, found.display_name) == (identifier, "model", listed[identifier].display_name)
