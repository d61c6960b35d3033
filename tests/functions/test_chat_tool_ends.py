"""How a turn with tools ends early: without money, time, a client or an answer."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import pytest

from functions.chat import tool_loop
from functions.chat.agent_run import AgentRun
from functions.chat.tools.contract import Tool, ToolAnswer
from shared.events import NextStep
from shared.run_turn import Failure, run_turn
from tests.fakes.openai import OpenAiHost, text_chunk
from tests.fakes.supabase import Project
from tests.functions.tool_turns import (
    ABLE,
    ASKED,
    EXTEND,
    Adding,
    add_call,
    booked_entry,
    calls_answer,
    events_of,
    results_of,
)
from tests.functions.turns import turn

pytestmark = pytest.mark.anyio


async def test_without_money_the_best_answer_so_far_stands(model: OpenAiHost, project: Project) -> None:
    """The turn is completed with the reason `budget`, and the model is not called again."""
    project.answers[EXTEND] = (200, {"outcome": "refused", "code": "budget_exceeded", "metadata": {}})
    model.script = [calls_answer(add_call(1), text="So far so good.")]
    events = await events_of()
    assert not [event for event in events if isinstance(event, Failure | NextStep)]
    booked = booked_entry(project)
    assert (booked["status"], booked["finish_reason"]) == ("completed", "budget")
    assert booked["content"] == "So far so good."
    assert len(model.received) == 1


async def test_a_turn_that_another_worker_took_over_ends(model: OpenAiHost, project: Project) -> None:
    """Its extension is closed, so it makes no further call."""
    project.answers[EXTEND] = (200, {"outcome": "closed"})
    model.script = [calls_answer(add_call(1), text="So")]
    assert [event.error.code for event in await events_of() if isinstance(event, Failure)] == ["request_in_progress"]
    assert booked_entry(project)["status"] == "partial"
    assert len(model.received) == 1


async def test_a_model_that_loops_on_tools_comes_to_an_end(model: OpenAiHost, project: Project) -> None:
    """A repeated call is refused, and after eight rounds tools are forbidden."""
    model.script = [calls_answer(add_call(1))] * 8 + [(200, [text_chunk("I give up")])]
    events = await events_of()
    results = results_of(events)
    assert results[0] == {"sum": 1}
    assert {result.get("error") for result in results[1:]} == {"repeated_call"}
    bodies = [received.json() for received in model.received]
    assert [body.get("tool_choice") for body in bodies] == [None] * 8 + ["none"]
    assert all(body["tools"] for body in bodies)
    assert booked_entry(project)["content"] == "I give up"


async def test_a_model_that_calls_even_then_is_complete(model: OpenAiHost, project: Project) -> None:
    """The tool calls of the ninth model call are not run."""
    model.script = [calls_answer(add_call(n)) for n in range(8)] + [calls_answer(add_call(99), text="One more")]
    events = await events_of()
    assert len(results_of(events)) == 8
    assert len(model.received) == 9
    assert (booked_entry(project)["status"], booked_entry(project)["finish_reason"]) == ("completed", "stop")


async def test_a_break_in_the_second_step_keeps_the_text_so_far(model: OpenAiHost, project: Project) -> None:
    """The row is partial, with the first step's text, the usage of both calls and the used tools."""
    model.script = [calls_answer(add_call(1), text="First."), (400, [])]
    events = await events_of()
    assert [event.error.code for event in events if isinstance(event, Failure)] == ["provider_refused"]
    booked = booked_entry(project)
    assert (booked["status"], booked["content"], len(booked["tools_used"])) == ("partial", "First.", 1)
    assert (booked["usage"]["input_tokens"], [attempt["ok"] for attempt in booked["attempts"]]) == (10, [True, False])


async def test_who_leaves_between_two_steps_is_booked_as_cancelled(model: OpenAiHost, project: Project) -> None:
    """The stop reason of the first step does not complete the turn."""
    model.script = [calls_answer(add_call(1), text="First.")]
    model.ending = "hold"
    events = run_turn(AgentRun(turn(routes=(ABLE,)), ASKED, time.monotonic()))
    async for event in events:
        if isinstance(event, NextStep):
            break
    await events.aclose()
    booked = booked_entry(project)
    assert (booked["status"], booked["content"], booked["finish_reason"]) == ("cancelled", "First.", None)


async def test_a_turn_without_time_for_another_call_ends_well(
    model: OpenAiHost, project: Project, environ: Callable[..., None]
) -> None:
    """It is completed with the text so far and the reason `time`."""
    environ(TURN_SECONDS="4")
    model.script = [calls_answer(add_call(1), text="So far.")]
    events = await events_of()
    assert not [event for event in events if isinstance(event, Failure)]
    booked = booked_entry(project)
    assert (booked["status"], booked["finish_reason"], booked["content"]) == ("completed", "time", "So far.")


async def test_a_caller_who_leaves_during_a_tool_leaves_its_use_behind(
    model: OpenAiHost, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row has the tool as cancelled, and the parts have the call without a result."""
    has_begun = anyio.Event()

    async def hang(asked: Adding) -> ToolAnswer:
        has_begun.set()
        await anyio.sleep_forever()
        raise AssertionError(asked)

    monkeypatch.setattr(tool_loop, "available_tools", lambda: (Tool("analyze_data", Adding, hang),))
    model.script = [calls_answer(add_call(1))]

    async def listen() -> None:
        await events_of()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await has_begun.wait()
        tasks.cancel_scope.cancel()
    booked = booked_entry(project)
    assert (booked["status"], [used["error"] for used in booked["tools_used"]]) == ("cancelled", ["cancelled"])
    assert [(part["type"], part.get("state")) for part in booked["parts"]] == [
        ("step-start", None),
        ("tool-analyze_data", "input-available"),
    ]
