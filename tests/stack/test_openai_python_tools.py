"""Tools and parsed answers through OpenAI's own Python SDK: what it sends back to us is accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.fakes.providers import Script, Upstream
from tests.providers import STREAMING
from tests.stack.conftest import Models
from tests.stack.openai_sdk import TWO_CALLS, WEATHER, Client, Verdict, last_request, sdk_clients
from tests.stack.people import Person


class City(BaseModel):
    """What `get_weather` takes."""

    city: str


@pytest.fixture
def client(chat_url: str) -> Iterator[Client]:
    """The SDK of a person, pointed at chat."""
    with sdk_clients(chat_url) as client_of:
        yield client_of


@pytest.mark.parametrize("provider", STREAMING)
def test_parallel_calls_come_to_the_caller_and_their_results_go_back(
    alice: Person, client: Client, able: Models, upstream: Upstream, provider: str
) -> None:
    """At every provider the request has no tool of Parley and no agent's prompt."""
    identifier = able("echo", provider)
    upstream.plays[identifier.rpartition(":")[2]] = (TWO_CALLS, TWO_CALLS, Script(("Sunny.",)))
    completions = client(alice).chat.completions
    question: Any = {"role": "user", "content": "Weather in Wien and Graz?"}
    chosen: Any = {"type": "function", "function": {"name": "get_weather"}}
    asked = completions.create(model=identifier, messages=[question], tools=[WEATHER], tool_choice=chosen)
    choice = asked.choices[0]
    assert choice.finish_reason == "tool_calls"
    calls: Any = choice.message.tool_calls
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Wien"}, {"city": "Graz"}]
    with completions.stream(model=identifier, messages=[question], tools=[WEATHER]) as stream:
        streamed: Any = stream.get_final_completion().choices[0].message.tool_calls
    assert [call.function.arguments for call in streamed] == [call.function.arguments for call in calls]
    results: list[Any] = [{"role": "tool", "tool_call_id": call.id, "content": "20 °C"} for call in calls]
    history = [question, choice.message.to_dict(), *results]
    final = completions.create(model=identifier, messages=history, tools=[WEATHER])
    assert final.choices[0].message.content == "Sunny."
    received = upstream.calls_of(identifier.rpartition(":")[2])[-1]
    assert received.asked is not None
    assert (received.asked.tools, received.asked.tool_results) == (("get_weather",), ("20 °C", "20 °C"))


@pytest.mark.parametrize("provider", STREAMING)
def test_a_conversation_may_begin_in_the_middle(alice: Person, client: Client, able: Models, provider: str) -> None:
    """Every provider accepts a conversation with tool calls, unusual ids and an empty message."""
    call = {"id": "functions.get_weather:0", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    called: list[Any] = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "20 °C"},
    ]
    messages: list[Any] = [{"role": "user", "content": " "}, *called, {"role": "user", "content": "And now?"}, *called]
    answer = client(alice).chat.completions.create(model=able("echo", provider), messages=messages, tools=[WEATHER])
    assert answer.choices[0].message.content == "The tool said: 20 °C "


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the SDK's own, about what it parsed
def test_what_the_sdk_made_of_an_answer_goes_back_with_it(
    alice: Person, client: Client, able: Models, upstream: Upstream
) -> None:
    """Messages with parsed arguments and parsed answers, as `parse` and `stream` return them, are accepted."""
    identifier = able("echo")
    upstream.plays[identifier.rpartition(":")[2]] = (TWO_CALLS, TWO_CALLS, Script(("Sunny.",)), Script(("Sunny.",)))
    completions = client(alice).chat.completions
    question: Any = {"role": "user", "content": "Weather in Wien and Graz?"}
    tool = openai.pydantic_function_tool(City, name="get_weather")
    parsed = completions.parse(model=identifier, messages=[question], tools=[tool]).choices[0].message
    with completions.stream(model=identifier, messages=[question], tools=[tool]) as stream:
        streamed = stream.get_final_completion().choices[0].message
    for message in (parsed, streamed):
        assert [call.function.parsed_arguments for call in message.tool_calls or ()] == [
            City(city="Wien"),
            City(city="Graz"),
        ]
        results: list[Any] = [
            {"role": "tool", "name": "get_weather", "tool_call_id": call.id, "content": "20 °C"}
            for call in message.tool_calls or ()
        ]
        history: Any = [question, message, *results]
        final = completions.create(model=identifier, messages=history, tools=[tool], logit_bias={}, top_logprobs=0)
        assert final.choices[0].message.content == "Sunny."
    assert last_request(upstream, identifier)["tools"][0]["function"]["strict"] is True
    identifier = able("json")
    verdict = completions.parse(model=identifier, messages=[question], response_format=Verdict).choices[0].message
    again: Any = [question, verdict, {"role": "user", "content": "Sure?"}]
    assert completions.parse(model=identifier, messages=again, response_format=Verdict).choices[0].message.parsed
    wanted = last_request(upstream, identifier)["response_format"]["json_schema"]
    assert (wanted["name"], wanted["strict"]) == ("Verdict", True)
