"""The AI SDK's stream, frame by frame."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.chat.streams.ui import UiStream
from shared.errors import ProviderTimeout
from shared.events import Finish, Reasoning, Refusal, Text, Usage
from shared.messages import ToolCall
from shared.receipts import receipt_json
from shared.routes import RouteChosen
from shared.run_turn import Failure, TurnEvent
from tests.functions.turns import ENTRY, RECEIPT, ROUTE, TURN, frames

BEGIN = [
    {
        "type": "start",
        "messageId": "turn-1",
        "messageMetadata": {"turn_id": "turn-1", "conversation_id": "conversation-1"},
    },
    {"type": "start-step"},
]
END = [
    {"type": "finish-step"},
    {"type": "data-receipt", "data": receipt_json(RECEIPT)},
    {
        "type": "finish",
        "finishReason": "stop",
        "messageMetadata": {"model": "openai:gpt-4o", "agent": "general", "agents": ["general"], "cost_usd": 0.002},
    },
    "[DONE]",
]


def _streamed(*events: TurnEvent) -> bytes:
    stream = UiStream(TURN)
    return stream.begin() + b"".join(stream.encode(event) for event in events)


def _part(kind: str, number: int, *texts: str) -> list[dict[str, str]]:
    name = str(number)
    deltas = [{"type": f"{kind}-delta", "id": name, "delta": text} for text in texts]
    return [{"type": f"{kind}-start", "id": name}, *deltas, {"type": f"{kind}-end", "id": name}]


def test_the_golden_stream() -> None:
    """The frames are start, step, parts with their ends, receipt, finish and [DONE]."""
    call = ToolCall("call-1", "look", {"at": "it"})
    received = {"type": "tool-input-available", "toolCallId": "call-1", "toolName": "look", "input": {"at": "it"}}
    assert frames(
        _streamed(Reasoning("hm"), Text("Hel"), Text("lo"), call, Text("!"), Usage(1, 2), Finish("stop"), RECEIPT)
    ) == [*BEGIN, *_part("reasoning", 1, "hm"), *_part("text", 2, "Hel", "lo"), received, *_part("text", 3, "!"), *END]


def test_an_empty_answer_is_a_proper_stream() -> None:
    """An answer without text has no parts."""
    assert frames(_streamed(Finish("stop"), RECEIPT)) == [*BEGIN, *END]


def test_a_turn_that_breaks_off_says_so_and_ends_properly() -> None:
    """The open part ends, and the receipt precedes the error, because `useChat` reads nothing after it."""
    failure = Failure(ProviderTimeout("The model did not answer in time."))
    error = {"type": "error", "errorText": "The model did not answer in time."}
    received = frames(_streamed(Text("Hel"), failure, RECEIPT))
    finish = END[2] | {"finishReason": "error"}  # type: ignore[operator]
    assert received == [*BEGIN, *_part("text", 1, "Hel"), *END[:2], error, finish, "[DONE]"]


def test_broken_arguments_are_a_part_of_their_own() -> None:
    """The part has the model's text and the error."""
    received = frames(_streamed(ToolCall("call-1", "look", {}, broken='{"at":'), RECEIPT))
    assert received[2] == {
        "type": "tool-input-error",
        "toolCallId": "call-1",
        "toolName": "look",
        "input": '{"at":',
        "errorText": "The arguments are no JSON object.",
    }


def test_an_answer_that_was_stopped_replays_as_stopped() -> None:
    """The SDK marks the message as aborted."""
    receipt = replace(RECEIPT, result=replace(ENTRY, status="cancelled", finish_reason=None))
    received = frames(_streamed(Text("Hel"), receipt))
    assert [each["type"] for each in received[-3:-1]] == ["abort", "finish"]
    assert received[-2]["finishReason"] == "other"


def test_the_model_is_named_at_the_beginning_when_it_is_known() -> None:
    """If a route is chosen before the first frame, the start frame has the model."""
    stream = UiStream(TURN)
    assert stream.encode(RouteChosen(ROUTE)) == b""
    assert frames(stream.begin())[0]["messageMetadata"]["model"] == "openai:gpt-4o"


@pytest.mark.parametrize(
    "text",
    [
        "a\nb",
        "a\r\nb",
        "a\rb",
        "a\u2028b\u2029",
        "data: [DONE]\n\n",
        "\n\nevent: x\n\n",
        "\x00",
        "😀",
        '"}\n\ndata: {"',
    ],
    ids=ascii,
)
def test_text_arrives_unchanged(text: str) -> None:
    """No text can end a line, an event or the stream."""
    raw = _streamed(Text(text), RECEIPT)
    assert frames(raw) == [*BEGIN, *_part("text", 1, text), *END]
    assert b"\r" not in raw


@given(
    st.lists(
        st.builds(Text, st.text())
        | st.builds(Reasoning, st.text())
        | st.builds(ToolCall, st.text(), st.text(), st.dictionaries(st.text(), st.text()))
        | st.just(Finish("stop")),
        max_size=8,
    )
)
def test_every_part_that_starts_ends_before_the_next(events: list[TurnEvent]) -> None:
    """For any order of events parts do not overlap, and the text is complete."""
    parts: list[str] = []
    content = ""
    for value in frames(_streamed(*events, RECEIPT))[:-1]:
        kind, _, what = value["type"].partition("-")
        if what == "start" and kind != "start":
            assert parts[-1:] != ["open"]
            parts.append("open")
        elif what == "end":
            assert parts.pop() == "open"
        elif what == "delta":
            assert parts[-1:] == ["open"]
            content += value["delta"]
        else:
            assert "open" not in parts
    assert content == "".join(event.text for event in events if isinstance(event, Text | Reasoning))


def test_every_event_is_one_line_of_json() -> None:
    """Each frame is one event that an SSE reader can read."""
    lines = _streamed(Text("Hel"), RECEIPT).split(b"\n\n")
    assert lines.pop() == b""
    assert lines.pop() == b"data: [DONE]"
    assert all(json.loads(line.removeprefix(b"data: ")) for line in lines)


def test_a_refusal_is_text() -> None:
    """The protocol has no part for refusals."""
    stream = UiStream(TURN)
    first = frames(stream.encode(Refusal("No.")))
    assert [(each["type"], each.get("delta")) for each in first] == [("text-start", None), ("text-delta", "No.")]
