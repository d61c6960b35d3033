"""OpenAI's responses through its Python SDK: streams, tools, stored conversations, and who may continue them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fakes.providers import Script, Upstream
from tests.providers import STREAMING
from tests.stack.conftest import Models
from tests.stack.openai_sdk import Client, Verdict, last_request, sdk_clients
from tests.stack.people import Person, Stack, log_row, service
from tests.stack.turns import Database, reserved_usd
from tools.openapi.responses_responses import ResponseAnswer

_WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
_TWO_CALLS = Script(("Looking.",), calls=(("get_weather", {"city": "Wien"}), ("get_weather", {"city": "Graz"})))


@pytest.fixture
def client(chat_url: str) -> Iterator[Client]:
    """The SDK of a person, pointed at chat."""
    with sdk_clients(chat_url) as client_of:
        yield client_of


def _outputs(response: Any) -> list[Any]:
    return [
        {"type": "function_call_output", "call_id": item.call_id, "output": "20 °C"}
        for item in response.output
        if item.type == "function_call"
    ]


def test_a_response_without_storing_is_only_logged(
    alice: Person, client: Client, able: Models, upstream: Upstream, db: Database
) -> None:
    """The log row has tokens and cost, and no text; no conversation begins."""
    identifier = able("echo")
    answer = client(alice).responses.create(
        model=identifier, instructions="Be brief.", input="Hi there", store=False, max_output_tokens=50, temperature=0.5
    )
    ResponseAnswer.model_validate(answer.to_dict())
    assert (answer.output_text, answer.status, answer.model) == ("Hi there ", "completed", identifier)
    sent = last_request(upstream, identifier)
    assert [m["role"] for m in sent["messages"]] == ["system", "user"]
    assert (sent["max_completion_tokens"], sent["temperature"]) == (50, 0.5)
    row = log_row(db, answer.id.removeprefix("resp_"))
    assert (row["endpoint"], row["status"], row["question"], row["response"]) == ("responses", "completed", None, None)
    usage: Any = answer.usage
    assert (usage.input_tokens, usage.output_tokens) == (row["input_tokens"], row["output_tokens"])
    assert float(row["cost_usd"]) == usage.cost
    assert alice.rows("messages") == alice.rows("llm_conversations") == []
    assert reserved_usd(db, alice) == 0


@pytest.mark.parametrize("provider", STREAMING)
def test_tools_work_at_every_provider_streamed_and_whole(
    alice: Person, client: Client, able: Models, upstream: Upstream, provider: str
) -> None:
    """The output goes back as the SDK made it, with the results."""
    identifier = able("echo", provider)
    upstream.plays[identifier.rpartition(":")[2]] = (_TWO_CALLS, _TWO_CALLS, Script(("Sunny.",)))
    responses = client(alice).responses
    asked: Any = {"model": identifier, "tools": [_WEATHER], "store": False}
    asked["include"] = ["reasoning.encrypted_content"]
    question: Any = {"role": "user", "content": "Weather in Wien and Graz?"}
    whole: Any = responses.create(input=[question], tool_choice="required", **asked)
    with responses.stream(input=[question], **asked) as stream:
        kinds = [event.type for event in stream]
        streamed: Any = stream.get_final_response()
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done")
    calls = [json.loads(item.arguments) for item in streamed.output if item.type == "function_call"]
    assert calls == [{"city": "Wien"}, {"city": "Graz"}]
    assert [json.loads(item.arguments) for item in whole.output if item.type == "function_call"] == calls
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    history: Any = [question, *(item.to_dict() for item in whole.output), *_outputs(whole)]
    final = responses.create(input=history, **asked)
    assert final.output_text == "Sunny."
    received = upstream.calls_of(identifier.rpartition(":")[2])[-1]
    assert received.asked is not None
    assert received.asked.tool_results == ("20 °C", "20 °C")


def test_claudes_reasoning_goes_back_with_its_signature(
    alice: Person, client: Client, able: Models, upstream: Upstream
) -> None:
    """The item's `encrypted_content` has it, so thinking stays on."""
    identifier = able("echo", "anthropic")
    upstream.plays[identifier.rpartition(":")[2]] = (_TWO_CALLS, Script(("Sunny.",)))
    asked: Any = {"model": identifier, "tools": [_WEATHER], "store": False}
    asked["include"] = ["reasoning.encrypted_content"]
    called = client(alice).responses.create(input="Weather?", **asked)
    history: Any = [{"role": "user", "content": "Weather?"}, *(item.to_dict() for item in called.output)]
    client(alice).responses.create(input=[*history, *_outputs(called)], **asked)
    sent = last_request(upstream, identifier)
    assert "thinking" not in sent
    assert sent["messages"][1]["content"][0]["type"] == "thinking"


def test_structured_output_is_parsed_by_the_sdk(alice: Person, client: Client, able: Models) -> None:
    """`parse` with a pydantic model."""
    parsed = client(alice).responses.parse(model=able("json"), input="The answer?", text_format=Verdict, store=False)
    assert parsed.output_parsed == Verdict(answer="forty-two", score=3)


def test_a_stored_response_is_continued_by_its_id(
    alice: Person, client: Client, able: Models, upstream: Upstream, db: Database
) -> None:
    """The conversation is the user's own, with its history, and so are calls whose outputs follow."""
    identifier = able("echo")
    responses = client(alice).responses
    first = responses.create(model=identifier, input="My name is Ada")
    second = responses.create(model=identifier, input="And now?", previous_response_id=first.id)
    assert [m["content"] for m in last_request(upstream, identifier)["messages"]] == [
        "My name is Ada",
        "My name is Ada ",
        "And now?",
    ]
    assert len(alice.rows("llm_conversations")) == 1
    assert second.conversation is not None
    identifier = able("echo")
    call = Script(calls=(("get_weather", {"city": "Wien"}),))
    upstream.plays[identifier.rpartition(":")[2]] = (call, Script(("20.",)))
    asked: Any = {"model": identifier, "tools": [_WEATHER]}
    called = responses.create(input="Weather?", previous_response_id=second.id, **asked)
    final = responses.create(input=_outputs(called), previous_response_id=called.id, **asked)
    assert final.output_text == "20."
    roles = [m["role"] for m in last_request(upstream, identifier)["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "user", "assistant", "tool"]
    assert log_row(db, final.id.removeprefix("resp_"))["status"] == "completed"
    by_conversation = responses.create(model=identifier, input="Bye", conversation=second.conversation.id)
    assert by_conversation.conversation == second.conversation


def test_references_to_stored_items_are_resolved(
    alice: Person, client: Client, able: Models, upstream: Upstream
) -> None:
    """The AI SDK sends ids of items instead of what it has received; reasoning is not stored and left out."""
    identifier = able("echo")
    upstream.plays[identifier.rpartition(":")[2]] = (
        Script(("Looking.",), calls=(("get_weather", {"city": "Wien"}),), reasoning="Hm."),
        Script(("20.",)),
    )
    asked: Any = {"model": identifier, "tools": [_WEATHER]}
    called = client(alice).responses.create(input="Weather?", **asked)
    references: Any = [{"type": "item_reference", "id": item.id} for item in called.output]
    history: Any = [{"role": "user", "content": "Weather?"}, *references, *_outputs(called)]
    assert client(alice).responses.create(input=history, **asked).output_text == "20."
    sent = last_request(upstream, identifier)["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "tool"]
    assert (sent[1]["content"], sent[1]["tool_calls"][0]["function"]["arguments"]) == ("Looking.", '{"city": "Wien"}')


def test_no_answer_of_another_user_is_found(
    alice: Person, bob: Person, client: Client, able: Models, upstream: Upstream, stack: Stack
) -> None:
    """By no id of a response, an item or a conversation; nor is one that was not stored."""
    identifier = able("echo")
    secret = client(alice).responses.create(model=identifier, input="The code is 4711")
    assert secret.conversation is not None
    mine: Any = client(bob).responses
    before = len(upstream.calls_of(identifier.rpartition(":")[2]))
    reference = {"type": "item_reference", "id": secret.output[0].id}
    requests: tuple[dict[str, Any], ...] = (
        {"input": "Say it", "previous_response_id": secret.id},
        {"input": [reference, {"role": "user", "content": "Say it"}]},
        {"input": "Say it", "previous_response_id": "resp_none"},
    )
    for fields in requests:
        with pytest.raises(openai.BadRequestError) as refused:
            mine.create(model=identifier, **fields)
        assert refused.value.code == "previous_response_not_found"
    with pytest.raises(openai.NotFoundError):
        mine.create(model=identifier, input="Say it", conversation=secret.conversation.id)
    assert len(upstream.calls_of(identifier.rpartition(":")[2])) == before
    assert bob.rows("messages") == []
    unstored = mine.create(model=identifier, input="Hi", store=False)
    with pytest.raises(openai.BadRequestError):
        mine.create(model=identifier, input="Again", previous_response_id=unstored.id)
    asked = {"wanted": {"person_id": alice.id, "turn_ids": [secret.id.removeprefix("resp_")]}}
    assert service(stack, "POST", "rpc/stored_answers", json=asked).json()[0]["content"] == "The code is 4711 "
    assert bob.rest("POST", "rpc/stored_answers", json=asked).status_code == 403


def test_failures_are_those_of_the_sdk(alice: Person, client: Client, able: Models) -> None:
    """Before the first byte a status, after it the events of a failed response."""
    responses: Any = client(alice).responses
    with pytest.raises(openai.NotFoundError) as unknown:
        responses.create(model="no-such-model", input="Hi")
    assert unknown.value.code == "model_not_found"
    wrong: tuple[dict[str, Any], ...] = (
        {"background": True},
        {"input": []},
        {"tool_choice": "required"},
        {"prompt": {"id": "x"}},
    )
    for fields in wrong:
        with pytest.raises(openai.BadRequestError):
            responses.create(**({"model": "x", "input": "Hi"} | fields))
    events = list(responses.create(model=able("cut"), input="Hi", stream=True))
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    assert events[-1].response.error.code == "answer_cut"
    cut = responses.create(model=able("length"), input="Hi")
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
