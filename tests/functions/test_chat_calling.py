"""Tool calls: every failure is a result for the model."""

from __future__ import annotations

import json
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel

from functions.chat.tools import calling
from functions.chat.tools.calling import Toolbox
from functions.chat.tools.contract import Tool, ToolAnswer, ToolRefusal
from shared.events import ToolResult
from shared.messages import ToolCall
from tests.functions.tool_turns import Adding

pytestmark = pytest.mark.anyio


async def _add(asked: Adding) -> ToolAnswer:
    if 0 in asked.numbers:
        raise ToolRefusal("zero", "Leave out zero.")
    if -1 in asked.numbers:
        raise RuntimeError("secret words")
    return ToolAnswer({"sum": sum(asked.numbers)}, rows=1 if len(asked.numbers) > 1 else None)


def _box() -> Toolbox:
    return Toolbox([Tool("add", Adding, _add)])


async def _one(box: Toolbox, name: str = "add", broken: str | None = None, **arguments: Any) -> ToolResult:
    (result,) = await box.results_of([ToolCall("c", name, arguments, broken)], ["add"])
    return result


async def test_a_tool_answers_and_its_use_is_noted() -> None:
    """tools_used has name, time, outcome and rows, and no text of the call."""
    box = _box()
    result = await _one(box, numbers=[1, 2])
    assert (result.content, result.is_error) == ({"sum": 3}, False)
    message = result.message()
    assert (message.role, message.tool_call_id, json.loads(message.content)) == ("tool", "c", {"sum": 3})
    (used,) = box.used
    assert used.pop("ms") >= 0
    assert used == {"name": "add", "ok": True, "rows": 1}


@pytest.mark.parametrize(
    ("call", "code", "hint"),
    [
        ({"numbers": [0]}, "zero", "Leave out"),
        ({"numbers": ["x"]}, "invalid_arguments", "numbers.0"),
        ({"numbers": [1, 2, 3, 4]}, "invalid_arguments", "numbers"),
        ({"numbers": [1], "more": "private"}, "invalid_arguments", "more"),
        ({}, "invalid_arguments", "numbers"),
        ({"broken": '{"numbers"'}, "invalid_arguments", "JSON"),
        ({"name": "rm", "x": 1}, "unknown_tool", "add"),
        ({"numbers": [-1]}, "tool_failed", "without it"),
    ],
)
async def test_what_cannot_be_done_is_returned_with_a_hint(
    call: dict[str, Any], code: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result is a code and a hint, without values and without internal errors."""
    box = _box()
    result = await _one(box, **call)
    assert (result.content["error"], result.is_error, result.message().is_error) == (code, True, True)
    assert hint in result.content["hint"]
    assert "private" not in result.content["hint"]
    assert "secret" not in capsys.readouterr().out + str(result.content)
    assert [(used["ok"], used["error"]) for used in box.used] == [(False, code)]
    assert box.used[0]["name"] in {"add", "unknown"}


async def test_the_same_call_is_answered_once() -> None:
    """A call with equal arguments is refused as repeated, in the same round and in later ones."""
    box = Toolbox([Tool("add", Adding, _add)])
    calls = [ToolCall(str(n), "add", {"numbers": [1, 2]}) for n in range(2)]
    first, second = await box.results_of(calls, ["add"])
    assert (first.is_error, second.content["error"]) == (False, "repeated_call")
    assert (await _one(box, numbers=[1, 2])).content["error"] == "repeated_call"
    assert not (await _one(box, numbers=[2, 1])).is_error


async def test_parallel_calls_run_side_by_side() -> None:
    """Two tools that wait for each other both end, and their results are in the order of the calls."""
    met = [anyio.Event(), anyio.Event()]

    class Which(BaseModel):
        """Waits."""

        place: int

    async def meet(asked: Which) -> ToolAnswer:
        met[asked.place].set()
        await met[1 - asked.place].wait()
        return ToolAnswer({"place": asked.place})

    calls = [ToolCall(str(place), "meet", {"place": place}) for place in (1, 0)]
    with anyio.fail_after(5):
        results = await Toolbox([Tool("meet", Which, meet)]).results_of(calls, ["meet"])
    assert [result.content["place"] for result in results] == [1, 0]


async def test_too_many_calls_at_once_are_not_all_made() -> None:
    """Calls beyond the limit get an error result."""
    calls = [ToolCall(str(n), "add", {"numbers": [n + 1]}) for n in range(calling.MAX_CALLS + 2)]
    results = await _box().results_of(calls, ["add"])
    assert [result.content.get("error") for result in results][-3:] == [None, "too_many_calls", "too_many_calls"]


async def test_a_tool_has_a_time_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that hangs gets a timeout result, and the other results stay."""
    monkeypatch.setattr(calling, "TOOL_SECONDS", 0.02)

    async def hang(asked: Adding) -> ToolAnswer:
        await anyio.sleep_forever()
        raise AssertionError(asked)

    box = Toolbox([Tool("add", Adding, _add), Tool("hang", Adding, hang)])
    calls = [ToolCall("a", "add", {"numbers": [1]}), ToolCall("b", "hang", {"numbers": [1]})]
    results = await box.results_of(calls, ["add", "hang"])
    assert results[0].content == {"sum": 1}
    assert results[1].content["error"] == "tool_timeout"


async def test_what_failed_for_a_reason_of_the_moment_may_be_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that timed out may be repeated with the same arguments."""
    monkeypatch.setattr(calling, "TOOL_SECONDS", 0.02)
    tries = 0

    async def slow_at_first(asked: Adding) -> ToolAnswer:
        nonlocal tries
        tries += 1
        if tries == 1:
            await anyio.sleep_forever()
        return ToolAnswer({"sum": sum(asked.numbers)})

    box = Toolbox([Tool("add", Adding, slow_at_first)])
    assert (await _one(box, numbers=[1])).content["error"] == "tool_timeout"
    assert (await _one(box, numbers=[1])).content == {"sum": 1}


async def test_calls_that_take_turns_run_one_after_another() -> None:
    """Each call begins after the one before it has ended."""
    running = most = 0

    async def take(asked: Adding) -> ToolAnswer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        running -= 1
        return ToolAnswer({"sum": sum(asked.numbers)})

    calls = [ToolCall(str(n), "take", {"numbers": [n]}) for n in range(5)]
    results = await Toolbox([Tool("take", Adding, take, takes_turns=True)]).results_of(calls, ["take"])
    assert [result.content.get("sum") for result in results] == [0, 1, 2, 3, 4]
    assert most == 1


async def test_waiting_for_ones_turn_costs_none_of_ones_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit of a call begins when the call before it has ended."""
    monkeypatch.setattr(calling, "TOOL_SECONDS", 0.05)

    async def take(asked: Adding) -> ToolAnswer:
        if asked.numbers == [1]:
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        return ToolAnswer({"sum": sum(asked.numbers)})

    calls = [ToolCall(str(n), "take", {"numbers": [n]}) for n in (1, 2)]
    first, second = await Toolbox([Tool("take", Adding, take, takes_turns=True)]).results_of(calls, ["take"])
    assert (first.content["error"], second.content) == ("tool_timeout", {"sum": 2})


async def test_nothing_runs_beyond_the_end_of_the_turn() -> None:
    """The rest of the turn's time limits each tool call."""

    async def hang(asked: Adding) -> ToolAnswer:
        await anyio.sleep_forever()
        raise AssertionError(asked)

    box = Toolbox([Tool("add", Adding, hang)], deadline=time.monotonic() + 0.02)
    assert (await _one(box, numbers=[1])).content["error"] == "tool_timeout"


async def test_a_caller_who_goes_leaves_the_use_behind() -> None:
    """A cancelled call is recorded as cancelled."""

    async def hang(asked: Adding) -> ToolAnswer:
        await anyio.sleep_forever()
        raise AssertionError(asked)

    box = Toolbox([Tool("add", Adding, hang)])
    with anyio.move_on_after(0.02):
        await _one(box, numbers=[1])
    assert [(used["name"], used["ok"], used["error"]) for used in box.used] == [("add", False, "cancelled")]


async def test_a_result_has_a_size() -> None:
    """A result over the limit is an error that asks the model for less."""

    async def flood(asked: Adding) -> ToolAnswer:
        return ToolAnswer({"text": "x" * 70_000, "asked": asked.numbers})

    (result,) = await Toolbox([Tool("flood", Adding, flood)]).results_of(
        [ToolCall("a", "flood", {"numbers": []})], ["flood"]
    )
    assert result.content["error"] == "result_too_large"


async def test_a_tool_is_offered_by_its_model_of_arguments() -> None:
    """The docstring is the description, the schema is closed, and unavailable tools are not offered."""
    (offered,) = _box().offered(["add", "other"])
    assert (offered.name, offered.description) == ("add", "Adds numbers.")
    assert offered.parameters["additionalProperties"] is False
    assert offered.parameters["required"] == ["numbers"]
