"""OpenAI's chunks and completions, from a turn's events."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.chat.streams.openai import CompletionJson, CompletionStream
from shared.errors import AnswerCut
from shared.events import Finish, Reasoning, Refusal, StopReason, Text
from shared.messages import ToolCall
from shared.routes import RouteChosen
from shared.run_turn import Failure, TurnEvent
from tests.functions.turns import ENTRY, RECEIPT, ROUTE, TURN, frames
from tools.openapi.chat_responses import CompletionAnswer

_LOOK = ToolCall("c1", "look", {"at": "ütz"})
_BROKEN = ToolCall("c2", "look", {}, broken='{"at":')


def _streamed(*events: TurnEvent, wants_usage: bool = False) -> list[object]:
    stream = CompletionStream(TURN, wants_usage=wants_usage)
    body = b"".join(stream.encode(event) for event in events[:1])
    return frames(stream.begin() + body + b"".join(stream.encode(event) for event in events[1:]))


def _deltas(received: list[object]) -> list[object]:
    return [each["choices"][0]["delta"] for each in received if isinstance(each, dict) and each.get("choices")]


def test_a_stream_says_who_speaks_then_words_then_why_it_ended() -> None:
    """Chunks have role, text and stop reason; usage comes last, without choices, if requested."""
    events = (RouteChosen(ROUTE), Reasoning("hm"), Text("Hel"), Text("lo"), Finish("stop"), RECEIPT)
    received = _streamed(*events)
    assert _deltas(received) == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert received[-1] == "[DONE]"
    counted = _streamed(*events, wants_usage=True)
    last = counted[-2]
    assert isinstance(last, dict)
    assert (last["choices"], last["usage"]["total_tokens"], last["usage"]["cost"]) == ([], 15, 0.002)


def test_each_piece_names_the_route_that_wrote_it() -> None:
    """Also when a later route answers in place of the first."""
    received = _streamed(Text("a"), Text("b"), RouteChosen(replace(ROUTE, identifier="openai:other")), Text("c"))
    models = [each["model"] for each in received if isinstance(each, dict)]
    assert models == [ROUTE.identifier, ROUTE.identifier, ROUTE.identifier, "openai:other"]


def test_calls_are_numbered_and_broken_arguments_are_the_callers_to_see() -> None:
    """Each call is one chunk with its index; invalid arguments are unchanged."""
    first, second = (each["tool_calls"][0] for each in _deltas(_streamed(_LOOK, _BROKEN, RECEIPT))[1:3])  # type: ignore[index]
    assert (first["index"], first["id"], first["function"]) == (0, "c1", {"name": "look", "arguments": '{"at": "ütz"}'})
    assert (second["index"], second["function"]["arguments"]) == (1, '{"at":')


def test_a_stream_that_breaks_off_ends_with_an_error_and_no_stop_reason() -> None:
    """An error frame without a stop reason makes the SDKs raise."""
    received = _streamed(Text("Hel"), Failure(AnswerCut("It broke off.")), RECEIPT)
    error, done = received[-2:]
    assert isinstance(error, dict)
    assert (error["error"]["code"], error["error"]["request_id"], done) == ("answer_cut", "request-1", "[DONE]")


@pytest.mark.parametrize(
    ("reason", "received"),
    [("stop", "stop"), ("length", "length"), ("tool_calls", "tool_calls"), ("filtered", "content_filter")],
)
def test_a_completion_gathers_calls_thoughts_and_reason(reason: StopReason, received: str) -> None:
    """The object fits the model of the OpenAPI document."""
    encoder = CompletionJson(TURN)
    for event in (Reasoning("hm"), _LOOK, Finish(reason)):
        encoder.observe(event)
    answer = CompletionAnswer.model_validate(encoder.encode(replace(RECEIPT, result=replace(ENTRY, content=""))))
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == (received, None)
    assert (choice.message.reasoning_content, choice.message.tool_calls[0].id) == ("hm", "c1")
    assert answer.usage.cost == 0.002


def test_a_refusal_is_no_content() -> None:
    """It is the field `refusal`, in chunks and in the whole message."""
    assert _deltas(_streamed(Refusal("I "), Refusal("won't."), RECEIPT))[1:3] == [
        {"refusal": "I "},
        {"refusal": "won't."},
    ]
    encoder = CompletionJson(TURN)
    for event in (Refusal("I "), Refusal("won't."), Finish("filtered")):
        encoder.observe(event)
    (choice,) = encoder.encode(replace(RECEIPT, result=replace(ENTRY, content="I won't.")))["choices"]
    assert (choice["message"]["content"], choice["message"]["refusal"]) == (None, "I won't.")
    assert choice["finish_reason"] == "content_filter"
