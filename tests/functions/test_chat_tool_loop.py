"""Models and tools in one turn, with a scripted model server."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from functions.chat import tool_loop as rounds_module
from functions.chat.agent_run import AgentRun
from functions.chat.request import ChatRequest
from functions.chat.tools.contract import Tool, ToolAnswer
from shared.events import NextStep, Text, ToolResult
from shared.messages import Message
from shared.receipts import receipt_json
from shared.run_turn import Failure, TurnEvent, run_turn
from shared.turns import Profile, Receipt
from tests.fakes.openai import OpenAiHost, chunk, serving_models, sse, text_chunk
from tests.fakes.supabase import Project
from tests.functions.test_chat_calling import Adding
from tests.functions.turns import ROUTE, turn

pytestmark = pytest.mark.anyio
EXTEND = "/rest/v1/rpc/chat_extend"
ABLE = replace(ROUTE, capabilities={"supports_tools": True, "supports_json": True})
ASKED = ChatRequest(message="Hi", agent="general")


async def _add(asked: Adding) -> ToolAnswer:
    return ToolAnswer({"sum": sum(asked.numbers)})


@pytest.fixture
async def model(
    project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OpenAiHost]:
    """A scripted model server beside a project with money; agents with data tools also have a tool that adds."""
    project.answers["/rest/v1/rpc/chat_finish"] = (200, {"outcome": "settled", "cost_usd": 0.002, "message_id": "m"})
    project.answers[EXTEND] = (200, {"outcome": "extended", "reserved_usd": 1})
    monkeypatch.setattr(rounds_module, "available_tools", lambda: (Tool("analyze_data", Adding, _add),))
    async with serving_models() as running:
        environ(OPENAI_BASE_URL=running.url, OPENAI_API_KEY="sk-ours")
        yield running


def _calls(*calls: tuple[str, Any], text: str = "", tokens: tuple[int, int] = (10, 5)) -> tuple[int, list[bytes]]:
    """An answer that calls tools, each by name and arguments, written or as a value."""
    pieces = [
        {"id": f"call-{name}-{place}", "index": place, "function": {"name": name, "arguments": _written(arguments)}}
        for place, (name, arguments) in enumerate(calls)
    ]
    usage = {"choices": [], "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}}
    return 200, [sse(chunk({"content": text, "tool_calls": pieces}), chunk({}, "tool_calls"), usage, "[DONE]")]


def _written(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _add_call(*numbers: int) -> tuple[str, Any]:
    return "analyze_data", {"numbers": list(numbers)}


async def _events_of(asked: ChatRequest = ASKED, **changes: Any) -> list[TurnEvent]:
    return [event async for event in run_turn(AgentRun(turn(**{"routes": (ABLE,)} | changes), asked, time.monotonic()))]


def _results(events: list[TurnEvent]) -> list[Any]:
    return [dict(event.content) for event in events if isinstance(event, ToolResult)]


def _booked(project: Project) -> dict[str, Any]:
    (arguments,) = project.asked_of("chat_finish")
    entry: dict[str, Any] = arguments["entry"]
    return entry


async def test_a_tools_result_goes_back_to_the_model(model: OpenAiHost, project: Project) -> None:
    """The answer has two steps; row, message and usage include both calls."""
    model.script = [_calls(_add_call(40, 2), text="Let me add."), (200, [text_chunk("It is 42", 30, 4)])]
    events = await _events_of()
    assert _results(events) == [{"sum": 42}]
    assert [type(event) for event in events if isinstance(event, NextStep | ToolResult)] == [ToolResult, NextStep]
    second = model.received[1].json()["messages"]
    assert [message["role"] for message in second] == ["system", "user", "assistant", "tool"]
    assert json.loads(second[-1]["content"]) == {"sum": 42}
    booked = _booked(project)
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


async def test_every_further_call_holds_money_first(model: OpenAiHost, project: Project) -> None:
    """Each further call reserves at least one token per byte of its prompt, tools included."""
    model.script = [_calls(_add_call(1)), _calls(_add_call(2)), (200, [text_chunk("Done")])]
    await _events_of()
    extended = [asked["extension"]["input_tokens"] for asked in project.asked_of("chat_extend")]
    for tokens, received in zip(extended, model.received[1:], strict=True):
        body = received.json()
        words = "".join(str(message.get("content") or "") for message in body["messages"])
        assert tokens >= len(words.encode()) + sum(len(tool["function"]["description"]) for tool in body["tools"])
    assert len(model.received) == 3


async def test_without_money_the_best_answer_so_far_stands(model: OpenAiHost, project: Project) -> None:
    """The turn is completed with the reason `budget`, and the model is not called again."""
    project.answers[EXTEND] = (200, {"outcome": "refused", "code": "budget_exceeded", "metadata": {}})
    model.script = [_calls(_add_call(1), text="So far so good.")]
    events = await _events_of()
    assert not [event for event in events if isinstance(event, Failure | NextStep)]
    booked = _booked(project)
    assert (booked["status"], booked["finish_reason"]) == ("completed", "budget")
    assert booked["content"] == "So far so good."
    assert len(model.received) == 1


async def test_a_turn_that_another_worker_took_over_ends(model: OpenAiHost, project: Project) -> None:
    """Its extension is closed, so it makes no further call."""
    project.answers[EXTEND] = (200, {"outcome": "closed"})
    model.script = [_calls(_add_call(1), text="So")]
    assert [event.error.code for event in await _events_of() if isinstance(event, Failure)] == ["request_in_progress"]
    assert _booked(project)["status"] == "partial"
    assert len(model.received) == 1


async def test_a_model_that_loops_on_tools_comes_to_an_end(model: OpenAiHost, project: Project) -> None:
    """A repeated call is refused, and after eight rounds tools are forbidden."""
    model.script = [_calls(_add_call(1))] * 8 + [(200, [text_chunk("I give up")])]
    events = await _events_of()
    results = _results(events)
    assert results[0] == {"sum": 1}
    assert {result.get("error") for result in results[1:]} == {"repeated_call"}
    bodies = [received.json() for received in model.received]
    assert [body.get("tool_choice") for body in bodies] == [None] * 8 + ["none"]
    assert all(body["tools"] for body in bodies)
    assert _booked(project)["content"] == "I give up"


async def test_a_model_that_calls_even_then_is_complete(model: OpenAiHost, project: Project) -> None:
    """The tool calls of the ninth model call are not run."""
    model.script = [_calls(_add_call(n)) for n in range(8)] + [_calls(_add_call(99), text="One more")]
    events = await _events_of()
    assert len(_results(events)) == 8
    assert len(model.received) == 9
    assert (_booked(project)["status"], _booked(project)["finish_reason"]) == ("completed", "stop")


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
    model.script = [_calls(call), (200, [text_chunk("Sorry")])]
    events = await _events_of()
    assert [result["error"] for result in _results(events)] == [code]
    assert json.loads(model.received[1].json()["messages"][-1]["content"])["hint"]
    assert (_booked(project)["status"], _booked(project)["content"]) == ("completed", "Sorry")


async def test_an_agent_hands_over_in_the_middle_of_a_turn(model: OpenAiHost, project: Project) -> None:
    """The next agent has its own prompt; receipt and row have both agents, and the row the reason."""
    hand_over = ("hand_off", {"agent": "technical", "reason": "It is about code."})
    model.script = [_calls(hand_over, text="Let me fetch somebody."), (200, [text_chunk("Use a lock.")])]
    events = await _events_of()
    first, second = (received.json()["messages"][0]["content"] for received in model.received)
    assert ("helpful" in first, "engineer" in second) == (True, True)
    receipt = events[-1]
    assert isinstance(receipt, Receipt)
    assert receipt_json(receipt)["agents"] == ["general", "technical"]
    booked = _booked(project)
    assert (booked["agent_type"], booked["agent_handoffs"], booked["escalation_suggested"]) == ("technical", 1, True)
    assert booked["escalation_metadata"] == {
        "hand_offs": [{"from": "general", "to": "technical", "reason": "It is about code."}]
    }
    assert booked["content"] == "Let me fetch somebody.\n\nUse a lock."


async def test_a_turn_changes_hands_at_most_twice(model: OpenAiHost, project: Project) -> None:
    """A third hand-off, one to the same agent and two at once are refused."""

    def to(agent: str, reason: str) -> tuple[str, Any]:
        return "hand_off", {"agent": agent, "reason": reason}

    model.script = [
        _calls(to("general", "Me.")),
        _calls(to("technical", "Code."), to("research", "Data.")),
        _calls(to("general", "Small talk.")),
        _calls(to("research", "Sources.")),
        (200, [text_chunk("Enough")]),
    ]
    events = await _events_of()
    assert [result.get("error", "ok") for result in _results(events)] == [
        "hand_off_to_yourself",
        "ok",
        "hand_off_twice",
        "ok",
        "hand_off_limit",
    ]
    assert (_booked(project)["agent_handoffs"], _booked(project)["agent_type"]) == (2, "general")


async def test_an_agent_uses_its_own_tools_only(model: OpenAiHost) -> None:
    """A tool of another agent is an unknown tool."""
    model.script = [_calls(_add_call(1)), (200, [text_chunk("Hm")])]
    events = await _events_of(ChatRequest(message="Hi", agent="technical"))
    assert [tool["function"]["name"] for tool in model.received[0].json()["tools"]] == ["hand_off"]
    assert [result["error"] for result in _results(events)] == ["unknown_tool"]


async def test_a_model_without_tools_is_offered_none(model: OpenAiHost) -> None:
    """It answers in one step without tools."""
    model.pieces = [text_chunk("Hello")]
    events = await _events_of(routes=(ROUTE,))
    assert Text("Hello") in events
    assert "tools" not in model.received[0].json()


async def test_a_break_in_the_second_step_keeps_the_text_so_far(model: OpenAiHost, project: Project) -> None:
    """The row is partial, with the first step's text, the usage of both calls and the used tools."""
    model.script = [_calls(_add_call(1), text="First."), (400, [])]
    events = await _events_of()
    assert [event.error.code for event in events if isinstance(event, Failure)] == ["provider_refused"]
    booked = _booked(project)
    assert (booked["status"], booked["content"], len(booked["tools_used"])) == ("partial", "First.", 1)
    assert (booked["usage"]["input_tokens"], [attempt["ok"] for attempt in booked["attempts"]]) == (10, [True, False])


async def test_who_leaves_between_two_steps_is_booked_as_cancelled(model: OpenAiHost, project: Project) -> None:
    """The stop reason of the first step does not complete the turn."""
    model.script = [_calls(_add_call(1), text="First.")]
    model.ending = "hold"
    events = run_turn(AgentRun(turn(routes=(ABLE,)), ASKED, time.monotonic()))
    async for event in events:
        if isinstance(event, NextStep):
            break
    await events.aclose()
    booked = _booked(project)
    assert (booked["status"], booked["content"], booked["finish_reason"]) == ("cancelled", "First.", None)


async def test_a_turn_stays_within_what_its_model_can_read(model: OpenAiHost, project: Project) -> None:
    """Whole turns of the history are dropped to make room for results, and the row counts them."""
    small = replace(ROUTE, max_output_tokens=500, capabilities={"supports_tools": True, "context_window": 3000})
    history = (Message("user", "q" * 1500), Message("assistant", "a" * 1500)) * 2
    model.script = [_calls(_add_call(1)), _calls(_add_call(2), text="w" * 3000), (200, [text_chunk("Done")])]
    await _events_of(routes=(small,), history=history, history_left_out=7)
    sizes = [len(received.body) for received in model.received]
    assert sizes[2] - sizes[1] < 3000
    assert [message["role"] for message in model.received[2].json()["messages"][:2]] == ["system", "user"]
    assert _booked(project)["history_left_out"] > 7


async def test_room_for_the_answer_is_kept_when_results_come(model: OpenAiHost, project: Project) -> None:
    """History is dropped when prompt and answer together do not fit into the window."""
    route = replace(ROUTE, max_output_tokens=4096, capabilities={"supports_tools": True, "context_window": 8192})
    history = (Message("user", "q" * 3000), Message("assistant", "a" * 3000))
    model.script = [_calls(_add_call(1), text="w" * 9000), (200, [text_chunk("Done")])]
    await _events_of(routes=(route,), history=history)
    assert _booked(project)["history_left_out"] == 2


async def test_a_turn_without_time_for_another_call_ends_well(
    model: OpenAiHost, project: Project, environ: Callable[..., None]
) -> None:
    """It is completed with the text so far and the reason `time`."""
    environ(TURN_SECONDS="4")
    model.script = [_calls(_add_call(1), text="So far.")]
    events = await _events_of()
    assert not [event for event in events if isinstance(event, Failure)]
    booked = _booked(project)
    assert (booked["status"], booked["finish_reason"], booked["content"]) == ("completed", "time", "So far.")


async def test_ids_that_a_host_gives_twice_are_distinguished(model: OpenAiHost, project: Project) -> None:
    """Each call of a turn has a unique id, which its result has, too."""
    again = [_calls(_add_call(n)) for n in range(2)]
    model.script = [*again, (200, [text_chunk("Done")])]
    events = await _events_of()
    ids = [event.call.id for event in events if isinstance(event, ToolResult)]
    assert len(set(ids)) == 2
    messages = model.received[2].json()["messages"]
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == ids
    assert len({part["toolCallId"] for part in _booked(project)["parts"] if "toolCallId" in part}) == 2


@pytest.mark.parametrize("arguments", ['{"agent": NaN}', '{"a":' * 600 + "1" + "}" * 600, '{"x": 1e999}'])
async def test_arguments_that_no_database_takes_cost_neither_row_nor_end(
    model: OpenAiHost, project: Project, arguments: str
) -> None:
    """They are an invalid call like any other."""
    model.script = [_calls(("hand_off", arguments)), (200, [text_chunk("Sorry")])]
    events = await _events_of()
    assert isinstance(events[-1], Receipt)
    assert (_booked(project)["status"], _booked(project)["content"]) == ("completed", "Sorry")


async def test_a_caller_who_leaves_during_a_tool_leaves_its_use_behind(
    model: OpenAiHost, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row has the tool as cancelled, and the parts have the call without a result."""
    has_begun = anyio.Event()

    async def hang(asked: Adding) -> ToolAnswer:
        has_begun.set()
        await anyio.sleep_forever()
        raise AssertionError(asked)

    monkeypatch.setattr(rounds_module, "available_tools", lambda: (Tool("analyze_data", Adding, hang),))
    model.script = [_calls(_add_call(1))]

    async def listen() -> None:
        await _events_of()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await has_begun.wait()
        tasks.cancel_scope.cancel()
    booked = _booked(project)
    assert (booked["status"], [used["error"] for used in booked["tools_used"]]) == ("cancelled", ["cancelled"])
    assert [(part["type"], part.get("state")) for part in booked["parts"]] == [
        ("step-start", None),
        ("tool-analyze_data", "input-available"),
    ]


@pytest.mark.parametrize(
    ("agent", "preferred", "question", "first"),
    [
        (None, None, "My Python script crashes with a TypeError", "technical"),
        ("auto", "research", "My Python script crashes with a TypeError", "technical"),
        (None, "research", "My Python script crashes with a TypeError", "research"),
        ("general", "research", "My Python script crashes with a TypeError", "general"),
        (None, "auto", "What should I cook for dinner?", "general"),
    ],
)
async def test_the_agent_is_the_one_asked_for_or_preferred_or_fitting(
    model: OpenAiHost, project: Project, agent: Any, preferred: str | None, question: str, first: str
) -> None:
    """The order is requested, preferred, by question; the domain is recorded in each case."""
    model.pieces = [text_chunk("Hello")]
    await _events_of(ChatRequest(message=question, agent=agent), profile=Profile(preferred_agent=preferred))
    booked = _booked(project)
    assert booked["agent_type"] == first
    assert booked["domain_classification"] in {"technical", "general"}
    assert booked["domain_confidence"] >= 0.6


@pytest.mark.parametrize("is_on", [True, False])
async def test_a_model_is_asked_what_it_is_about_only_when_configured(
    model: OpenAiHost, project: Project, environ: Callable[..., None], is_on: bool
) -> None:
    """The model is asked only when the rules are not sure; the turn includes that call's cost."""
    environ(CLASSIFY_WITH_MODEL=str(int(is_on)))
    if is_on:
        model.script = [(200, [text_chunk('{"domain": "research", "confidence": 0.8}', 20, 6)])]
    model.pieces = [text_chunk("Hello")]
    await _events_of(ChatRequest(message="Tell me more"))
    booked = _booked(project)
    wanted = ("research", 0.8, "research", 2, 30) if is_on else ("general", 0.5, "general", 1, 10)
    assert wanted == (
        booked["domain_classification"],
        booked["domain_confidence"],
        booked["agent_type"],
        len(booked["attempts"]),
        booked["usage"]["input_tokens"],
    )
    assert len(project.asked_of("chat_extend")) == int(is_on)


@pytest.mark.parametrize("answer", ["no money", "no answer", "nonsense"])
async def test_an_unclassified_question_is_answered(
    model: OpenAiHost, project: Project, environ: Callable[..., None], answer: str
) -> None:
    """If the classification fails, the rules' domain is used."""
    environ(CLASSIFY_WITH_MODEL="1")
    if answer == "no money":
        project.answers[EXTEND] = (200, {"outcome": "refused", "code": "budget_exceeded", "metadata": {}})
    if answer == "no answer":
        model.script = [(400, [])]
    if answer == "nonsense":
        model.script = [(200, [text_chunk("What?")])] * 2
    model.pieces = [text_chunk("Hello")]
    events = await _events_of(ChatRequest(message="Tell me more"))
    assert Text("Hello") in events
    assert (_booked(project)["agent_type"], _booked(project)["status"]) == ("general", "completed")


async def test_in_company_the_question_says_whose_it_is(model: OpenAiHost) -> None:
    """In a conversation of several users the question begins with the user's name."""
    model.pieces = [text_chunk("Hello")]
    await _events_of(speaker="Ada")
    system, question = model.received[0].json()["messages"]
    assert "Ada asks" in system["content"]
    assert question["content"] == "Ada: Hi"
