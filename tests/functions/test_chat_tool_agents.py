"""The agent of a turn: who is chosen, what it may use, and who it hands over to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from functions.chat.request import ChatRequest
from shared.events import Text
from shared.receipts import receipt_json
from shared.turns import Receipt
from tests.fakes.openai import OpenAiHost, text_chunk
from tests.fakes.supabase import Project
from tests.functions.tool_turns import EXTEND, add_call, booked_entry, calls_answer, events_of, results_of

pytestmark = pytest.mark.anyio


async def test_an_agent_hands_over_in_the_middle_of_a_turn(model: OpenAiHost, project: Project) -> None:
    """The next agent has its own prompt; receipt and row have both agents, and the row the reason."""
    hand_over = ("hand_off", {"agent": "technical", "reason": "It is about code."})
    model.script = [calls_answer(hand_over, text="Let me fetch somebody."), (200, [text_chunk("Use a lock.")])]
    events = await events_of()
    first, second = (received.json()["messages"][0]["content"] for received in model.received)
    assert ("helpful" in first, "engineer" in second) == (True, True)
    receipt = events[-1]
    assert isinstance(receipt, Receipt)
    assert receipt_json(receipt)["agents"] == ["general", "technical"]
    booked = booked_entry(project)
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
        calls_answer(to("general", "Me.")),
        calls_answer(to("technical", "Code."), to("research", "Data.")),
        calls_answer(to("general", "Small talk.")),
        calls_answer(to("research", "Sources.")),
        (200, [text_chunk("Enough")]),
    ]
    events = await events_of()
    assert [result.get("error", "ok") for result in results_of(events)] == [
        "hand_off_to_yourself",
        "ok",
        "hand_off_twice",
        "ok",
        "hand_off_limit",
    ]
    assert (booked_entry(project)["agent_handoffs"], booked_entry(project)["agent_type"]) == (2, "general")


async def test_an_agent_uses_its_own_tools_only(model: OpenAiHost) -> None:
    """A tool of another agent is an unknown tool."""
    model.script = [calls_answer(add_call(1)), (200, [text_chunk("Hm")])]
    events = await events_of(ChatRequest(message="Hi", agent="technical"))
    assert [tool["function"]["name"] for tool in model.received[0].json()["tools"]] == ["hand_off"]
    assert [result["error"] for result in results_of(events)] == ["unknown_tool"]


@pytest.mark.parametrize(
    ("chosen", "question", "first", "domain"),
    [
        ("research", "My Python script crashes with a TypeError", "research", "technical"),
        ("general", "My Python script crashes with a TypeError", "general", "technical"),
        (None, "My Python script crashes with a TypeError", "technical", "technical"),
        ("an agent of a newer version", "What should I cook for dinner?", "general", "general"),
    ],
)
async def test_the_agent_that_the_ledger_chose_answers_first(
    model: OpenAiHost, project: Project, chosen: str | None, question: str, first: str, domain: str
) -> None:
    """An unknown agent is replaced by the one for the question; the domain is recorded in each case."""
    model.pieces = [text_chunk("Hello")]
    await events_of(ChatRequest(message=question), agent=chosen, is_agent_guessed=False)
    booked = booked_entry(project)
    assert (booked["agent_type"], booked["domain_classification"]) == (first, domain)
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
    await events_of(ChatRequest(message="Tell me more"))
    booked = booked_entry(project)
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
    events = await events_of(ChatRequest(message="Tell me more"))
    assert Text("Hello") in events
    assert (booked_entry(project)["agent_type"], booked_entry(project)["status"]) == ("general", "completed")


async def test_in_company_the_question_says_whose_it_is(model: OpenAiHost) -> None:
    """In a conversation of several users the question begins with the user's name."""
    model.pieces = [text_chunk("Hello")]
    await events_of(speaker="Ada")
    system, question = model.received[0].json()["messages"]
    assert "Ada asks" in system["content"]
    assert question["content"] == "Ada: Hi"
