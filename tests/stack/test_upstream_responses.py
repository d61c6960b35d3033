"""OpenAI's models that want responses: reasoning with tools, kept reasoning, ends and failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.fakes.providers import Script, Upstream
from tests.fakes.providers.kinds import GOLDEN
from tests.fakes.providers.openai_responses import ENCRYPTED
from tests.stack.conftest import Models
from tests.stack.openai_sdk import TWO_CALLS, WEATHER, Client, Verdict, sdk_clients
from tests.stack.people import Person, frames, log_row, receipt_of, text_of
from tests.stack.turns import Database

_HI: Any = [{"role": "user", "content": "Hi there"}]


@pytest.fixture
def client(chat_url: str) -> Iterator[Client]:
    """The SDK of a person, pointed at chat."""
    with sdk_clients(chat_url) as client_of:
        yield client_of


def _wanting_responses(able: Models, kind: str) -> str:
    return able(kind, "openai", supports_responses=True, supports_temperature=False)


def test_tools_work_with_the_effort_that_is_asked_for(
    alice: Person, client: Client, able: Models, upstream: Upstream
) -> None:
    """The model rejects that at chat completions; the catalogue says that it is called by responses."""
    asked: Any = {"messages": _HI, "tools": [WEATHER], "reasoning_effort": "high"}
    with pytest.raises(openai.BadRequestError):
        client(alice).chat.completions.create(model=able("gpt-5.4", supports_temperature=False), **asked)
    identifier = _wanting_responses(able, "gpt-5.4")
    upstream.plays[identifier.rpartition(":")[2]] = (TWO_CALLS,)
    answer = client(alice).chat.completions.with_raw_response.create(model=identifier, stop=["END"], seed=3, **asked)
    calls: Any = answer.parse().choices[0].message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Wien"}, {"city": "Graz"}]
    received = upstream.calls_of(identifier.rpartition(":")[2])[-1]
    assert (received.path, received.body["reasoning"]) == ("/openai/v1/responses", {"effort": "high"})
    assert set(answer.headers["x-ignored-params"].split(", ")) == {"seed", "stop.0"}


def test_reasoning_is_kept_for_the_next_round(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """The provider rejects a call that comes back without its encrypted reasoning."""
    identifier = _wanting_responses(able, "echo")
    script = Script(("Let me see.",), calls=(("describe_data", {}),))
    upstream.plays[identifier.rpartition(":")[2]] = (script, Script(("Done.",)))
    response = alice.ask({"message": "What data is there?", "model": identifier, "agent": "general"}, chat_url)
    events = frames(response.text)
    assert text_of(events) == "Let me see.Done."
    sent = upstream.calls_of(identifier.rpartition(":")[2])[-1].body["input"]
    kinds = [item.get("type") or item["role"] for item in sent][-5:]
    assert kinds == ["user", "reasoning", "assistant", "function_call", "function_call_output"]
    assert next(item for item in sent if item.get("type") == "reasoning")["encrypted_content"] == ENCRYPTED
    assert log_row(db, receipt_of(events)["turn_id"])["status"] == "completed"


def test_counts_schemas_and_ends_are_read(alice: Person, client: Client, able: Models, db: Database) -> None:
    """As at chat completions: tokens, reasoning, a parsed answer, and an answer that is too long."""
    completions = client(alice).chat.completions
    answer = completions.create(model=_wanting_responses(able, "think"), messages=_HI)
    assert answer.choices[0].message.content == "one two three"
    row = log_row(db, answer.id.removeprefix("chatcmpl-"))
    assert {name: row[name] for name in GOLDEN} == GOLDEN
    parsed = completions.parse(model=_wanting_responses(able, "json"), messages=_HI, response_format=Verdict)
    assert parsed.choices[0].message.parsed == Verdict(answer="forty-two", score=3)
    cut = completions.create(model=_wanting_responses(able, "length"), messages=_HI)
    assert cut.choices[0].finish_reason == "length"


@pytest.mark.parametrize("kind", ["cut", "early", "malformed", "overload"])
def test_a_break_after_the_first_words_is_partial(alice: Person, chat_url: str, able: Models, kind: str) -> None:
    """The words that arrived are kept, and the stream ends with an error."""
    identifier = _wanting_responses(able, kind)
    body = {"model": identifier, "messages": _HI, "stream": True}
    response = httpx.post(f"{chat_url}/v1/chat/completions", json=body, headers=alice.headers, timeout=20)
    received = frames(response.text)
    assert (
        "".join(each["choices"][0]["delta"].get("content", "") for each in received if "choices" in each) == "one two "
    )
    assert received[-1]["error"]["code"] in {"answer_cut", "provider_error", "provider_overloaded"}


def test_reasoning_that_a_client_keeps_comes_back_as_it_was(
    alice: Person, client: Client, able: Models, upstream: Upstream
) -> None:
    """At responses, with the id and the encrypted content of the provider, before its call."""
    identifier = _wanting_responses(able, "echo")
    call = Script(calls=(("get_weather", {"city": "Wien"}),))
    upstream.plays[identifier.rpartition(":")[2]] = (call, Script(("Sunny.",)))
    tool: Any = {"type": "function"} | WEATHER["function"]
    asked: Any = {"model": identifier, "tools": [tool], "store": False, "include": ["reasoning.encrypted_content"]}
    first = client(alice).responses.create(input="Weather?", **asked)
    (result,) = [
        {"type": "function_call_output", "call_id": item.call_id, "output": "20"}
        for item in first.output
        if item.type == "function_call"
    ]
    history: Any = [{"role": "user", "content": "Weather?"}, *(item.to_dict() for item in first.output), result]
    assert client(alice).responses.create(input=history, **asked).output_text == "Sunny."
    sent = upstream.calls_of(identifier.rpartition(":")[2])[-1].body["input"]
    assert [(item.get("id"), item.get("encrypted_content")) for item in sent if item.get("type") == "reasoning"] == [
        ("rs_1", ENCRYPTED)
    ]
    message: Any = client(alice).chat.completions.create(model=identifier, messages=_HI).choices[0].message
    assert message.content == "Sunny."


@pytest.mark.parametrize("is_streamed", [False, True])
def test_anthropics_sdk_brings_openais_reasoning_back(
    alice: Person, chat_url: str, able: Models, upstream: Upstream, *, is_streamed: bool
) -> None:
    """At messages, in the signature of a thinking block, before its call; another model gets the plain words."""
    identifier, other = _wanting_responses(able, "echo"), able("fixed", "anthropic")
    call = Script(calls=(("get_weather", {"city": "Wien"}),))
    upstream.plays[identifier.rpartition(":")[2]] = (call, Script(("Sunny.",)))
    function = WEATHER["function"]
    tools: Any = [{"name": function["name"], "input_schema": function["parameters"]}]
    sdk = anthropic.Anthropic(base_url=chat_url, api_key=alice.token, max_retries=0)
    messages: Any = [{"role": "user", "content": "Weather?"}]
    asked: Any = {"max_tokens": 500, "tools": tools}
    if is_streamed:
        with sdk.messages.stream(model=identifier, messages=messages, **asked) as stream:
            first = stream.get_final_message()
    else:
        first = sdk.messages.create(model=identifier, messages=messages, **asked)
    (use,) = [block for block in first.content if block.type == "tool_use"]
    result: Any = {"type": "tool_result", "tool_use_id": use.id, "content": "20"}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    assert sdk.messages.create(model=identifier, messages=messages, **asked).content[0].to_dict()["text"] == "Sunny."
    sent = upstream.calls_of(identifier.rpartition(":")[2])[-1].body["input"]
    assert [item.get("encrypted_content") for item in sent if item.get("type") == "reasoning"] == [ENCRYPTED]
    assert sdk.messages.create(model=other, messages=messages, **asked).content[0].to_dict()["text"] == "one two three"
    assert ENCRYPTED not in str(upstream.calls_of(other.rpartition(":")[2])[-1].body)
