"""Models and tools in one turn, with a scripted model server."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.events import CallPiece, NextStep, Text, ToolResult
from shared.messages import Message, ToolCall
from shared.receipts import receipt_json
from shared.turns import Receipt
from tests.fakes.openai import OpenAiHost, text_chunk
from tests.fakes.supabase import Project
from tests.functions.tool_turns import add_call, booked_entry, calls_answer, events_of, results_of
from tests.functions.turns import ROUTE

pytestmark = pytest.mark.anyio


async def test_a_tools_result_goes_back_to_the_model(model: OpenAiHost, project: Project) -> None:
    """The answer has two steps; row, message and usage include both calls."""
    model.script = [calls_answer(add_call(40, 2), text="Let me add."), (200, [text_chunk("It is 42", 30, 4)])]
    events = await events_of()
    assert results_of(events) == [{"sum": 42}]
    assert [type(event) for event in events if isinstance(event, NextStep | ToolResult)] == [ToolResult, NextStep]
    second = model.received[1].json()["messages"]
    assert [message["role"] for message in second] == ["system", "user", "assistant", "tool"]
    assert json.loads(second[-1]["content"]) == {"sum": 42}
    booked = booked_entry(project)
    assert (booked["status"], booked["finish_reason"]) == ("completed", "stop")
    assert booked["content"] == "Let me add.\n\nIt is 42"
    assert [(used["name"], used["ok"]) for used in booked["tools_used"]] == [("analyze_data", True)]
    assert [part["type"] for part in booked["parts"]] == [
        "step-start",
        "text",
        "tool-analyze_data",
        "step-start",
        "text",
    ]
    assert booked["parts"][2]["output"] == {"sum": 42}
    assert (booked["usage"]["input_tokens"], booked["usage"]["output_tokens"]) == (40, 9)
    assert (booked["context_size_tokens"], len(booked["attempts"])) == (30, 2)
    receipt = events[-1]
    assert isinstance(receipt, Receipt)
    assert receipt_json(receipt)["tools_used"] == booked["tools_used"]


async def test_pieces_have_the_id_of_their_call(model: OpenAiHost, project: Project) -> None:
    """Also in a later step of a host that repeats its ids."""
    model.script = [calls_answer(add_call(1)), calls_answer(add_call(2)), (200, [text_chunk("Done")])]
    events = await events_of()
    ids = [event.id for event in events if isinstance(event, ToolCall)]
    assert len(set(ids)) == 2
    assert list(dict.fromkeys(event.id for event in events if isinstance(event, CallPiece))) == ids
    assert booked_entry(project)["status"] == "completed"


async def test_every_further_call_holds_money_first(model: OpenAiHost, project: Project) -> None:
    """Each further call reserves at least one token per byte of its prompt, tools included."""
    model.script = [calls_answer(add_call(1)), calls_answer(add_call(2)), (200, [text_chunk("Done")])]
    await events_of()
    extended = [asked["extension"]["input_tokens"] for asked in project.asked_of("chat_extend")]
    for tokens, received in zip(extended, model.received[1:], strict=True):
        body = received.json()
        words = "".join(str(message.get("content") or "") for message in body["messages"])
        assert tokens >= len(words.encode()) + sum(len(tool["function"]["description"]) for tool in body["tools"])
    assert len(model.received) == 3


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (("rm", {}), "unknown_tool"),
        (("analyze_data", "{nonsense"), "invalid_arguments"),
        (("analyze_data", {"numbers": "x"}), "invalid_arguments"),
    ],
)
async def test_a_wrong_call_is_returned_and_the_turn_completes(
    model: OpenAiHost, project: Project, call: tuple[str, Any], code: str
) -> None:
    """The model reads what is wrong and answers."""
    model.script = [calls_answer(call), (200, [text_chunk("Sorry")])]
    events = await events_of()
    assert [result["error"] for result in results_of(events)] == [code]
    assert json.loads(model.received[1].json()["messages"][-1]["content"])["hint"]
    assert (booked_entry(project)["status"], booked_entry(project)["content"]) == ("completed", "Sorry")


async def test_a_model_without_tools_is_offered_none(model: OpenAiHost) -> None:
    """It answers in one step without tools."""
    model.pieces = [text_chunk("Hello")]
    events = await events_of(routes=(ROUTE,))
    assert Text("Hello") in events
    assert "tools" not in model.received[0].json()


async def test_a_turn_stays_within_what_its_model_can_read(model: OpenAiHost, project: Project) -> None:
    """Whole turns of the history are dropped to make room for results, and the row counts them."""
    small = replace(ROUTE, max_output_tokens=500, capabilities={"supports_tools": True, "context_window": 3000})
    history = (Message("user", "q" * 1500), Message("assistant", "a" * 1500)) * 2
    model.script = [calls_answer(add_call(1)), calls_answer(add_call(2), text="w" * 3000), (200, [text_chunk("Done")])]
    await events_of(routes=(small,), history=history, history_left_out=7)
    sizes = [len(received.body) for received in model.received]
    assert sizes[2] - sizes[1] < 3000
    assert [message["role"] for message in model.received[2].json()["messages"][:2]] == ["system", "user"]
    assert booked_entry(project)["history_left_out"] > 7


async def test_room_for_the_answer_is_kept_when_results_come(model: OpenAiHost, project: Project) -> None:
    """History is dropped when prompt and answer together do not fit into the window."""
    route = replace(ROUTE, max_output_tokens=4096, capabilities={"supports_tools": True, "context_window": 8192})
    history = (Message("user", "q" * 3000), Message("assistant", "a" * 3000))
    model.script = [calls_answer(add_call(1), text="w" * 9000), (200, [text_chunk("Done")])]
    await events_of(routes=(route,), history=history)
    assert booked_entry(project)["history_left_out"] == 2


async def test_ids_that_a_host_gives_twice_are_distinguished(model: OpenAiHost, project: Project) -> None:
    """Each call of a turn has a unique id, which its result has, too."""
    again = [calls_answer(add_call(n)) for n in range(2)]
    model.script = [*again, (200, [text_chunk("Done")])]
    events = await events_of()
    ids = [event.call.id for event in events if isinstance(event, ToolResult)]
    assert len(set(ids)) == 2
    messages = model.received[2].json()["messages"]
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == ids
    assert len({part["toolCallId"] for part in booked_entry(project)["parts"] if "toolCallId" in part}) == 2


@pytest.mark.parametrize("arguments", ['{"agent": NaN}', '{"a":' * 600 + "1" + "}" * 600, '{"x": 1e999}'])
async def test_arguments_that_no_database_takes_cost_neither_row_nor_end(
    model: OpenAiHost, project: Project, arguments: str
) -> None:
    """They are an invalid call like any other."""
    model.script = [calls_answer(("hand_off", arguments)), (200, [text_chunk("Sorry")])]
    events = await events_of()
    assert isinstance(events[-1], Receipt)
    assert (booked_entry(project)["status"], booked_entry(project)["content"]) == ("completed", "Sorry")
