"""What a turn writes to its message, its log row and its conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, log_row, service
from tests.stack.turns import Database, begin, conversation_with, die, finish, sweep


def test_an_answer_says_which_model_and_agent_gave_it(alice: Person, model: Models) -> None:
    """Every answer has its model; row and conversation have the fields of the result."""
    name = model("echo")
    assert alice.rest("POST", "user_llm_profiles", json={}).status_code == 201  # whose skill may be assessed
    turn = begin(alice, name)
    received: dict[str, Any] = {
        "identifier": name,
        "agent_type": "technical",
        "agent_handoffs": 2,
        "tools_used": [{"name": "analyze_data", "ms": 12, "ok": True, "rows": 3}],
        "domain_classification": "trading",
        "user_skill_assessment": "advanced",
        "escalation_suggested": True,
        "escalation_metadata": {"from": "general", "to": "technical"},
        "context_size_tokens": 321,
        "parts": [{"type": "text", "text": "hello"}],
        "usage": {"input_tokens": 900, "output_tokens": 50, "source": "provider"},
    }
    assert finish(alice, turn, **received)["outcome"] == "settled"
    (row,) = alice.rows("chat_logs")
    kept = ("agent_type", "tools_used", "domain_classification", "user_skill_assessment", "escalation_suggested")
    assert {key: row[key] for key in kept} == {key: received[key] for key in kept}
    assert row["escalation_metadata"] == received["escalation_metadata"]
    assert (row["context_size_tokens"], row["input_tokens"], row["history_left_out"]) == (321, 900, 0)
    (message,) = alice.rows("messages?role=eq.assistant")
    assert (message["model_used"], message["agent_type"], message["parts"]) == (name, "technical", received["parts"])
    (conversation,) = alice.rows("llm_conversations")
    assert (conversation["primary_agent"], conversation["agent_handoffs"]) == ("technical", 2)
    again = begin(alice, name, conversation_id=turn["conversation_id"])
    finish(alice, again, agent_type="research", agent_handoffs=1)
    (conversation,) = alice.rows("llm_conversations")
    assert (conversation["primary_agent"], conversation["agent_handoffs"]) == ("research", 3)


def test_a_late_finish_tells_all_of_it_too(alice: Person, db: Database, model: Models, stack: Stack) -> None:
    """A late finish replaces all fields of the abandoned row and keeps its history_left_out."""
    conversation = conversation_with(db, alice, 300, words=60)
    turn = begin(alice, model("echo"), conversation_id=conversation)
    die(db, turn)
    sweep(stack)
    row = log_row(db, turn["turn_id"])
    assert (row["status"], row["history_left_out"]) == ("abandoned", turn["history_left_out"])
    received = {"domain_classification": "data", "escalation_suggested": True, "tools_used": [{"name": "x"}]}
    finish(alice, turn, context_size_tokens=7, **received)
    row = log_row(db, turn["turn_id"])
    assert {key: row[key] for key in received} == received
    assert (row["status"], row["context_size_tokens"], row["history_left_out"]) == (
        "completed",
        7,
        turn["history_left_out"],
    )


@pytest.mark.parametrize("odd", [None, {}, "x", {"name": "not an array"}])
def test_odd_tools_do_not_cost_the_row(alice: Person, model: Models, odd: Any) -> None:
    """If tools_used is not a list of tools, the turn is booked with an empty list."""
    turn = begin(alice, model("echo"))
    assert finish(alice, turn, tools_used=odd)["outcome"] == "settled"
    assert alice.rows("chat_logs")[0]["tools_used"] == []


def test_a_forgotten_turn_leaves_no_words_of_tools_or_escalation(alice: Person, db: Database, model: Models) -> None:
    """If the user's data is deleted during the turn, the row keeps counts and no text."""
    turn = begin(alice, model("echo"))
    alice.rest("POST", "rpc/delete_my_data")
    finish(alice, turn, tools_used=[{"name": "planted"}], escalation_metadata={"reason": "planted"})
    row = log_row(db, turn["turn_id"])
    assert (row["tools_used"], row["escalation_metadata"], row["status"]) == ([], None, "completed")


def test_steps_without_a_word_are_no_answer_until_the_turn_is_complete(
    alice: Person, db: Database, model: Models
) -> None:
    """After a failed try without text the retry's answer is stored; a completed turn of tool steps is stored."""
    steps = [{"type": "step-start"}, {"type": "tool-hand_off", "toolCallId": "c", "state": "input-available"}]
    identifier, key = model("echo"), {"idempotency_key": "k1", "body_hash": "x"}
    first = begin(alice, identifier, **key)
    finish(alice, first, status="partial", content="", parts=steps, error_code="provider_refused")
    again = begin(alice, identifier, **key)
    assert again["turn_id"] == first["turn_id"]
    finish(alice, again, content="The answer")
    query = "select content from public.messages where turn_id = %s and role = 'assistant'"
    assert db.execute(query, [first["turn_id"]]).fetchall() == [{"content": "The answer"}]
    whole = begin(alice, identifier)
    finish(alice, whole, content="", parts=steps)
    assert db.execute(query, [whole["turn_id"]]).fetchall() == [{"content": ""}]
    asked = begin(alice, identifier, conversation_id=whole["conversation_id"])
    assert "" not in [message["content"] for message in asked["history"]]


def test_a_turn_of_a_forgotten_user_makes_no_further_call(alice: Person, model: Models, stack: Stack) -> None:
    """Their turn may not make another call."""
    turn = begin(alice, model("echo"))
    extension = {"turn_id": turn["turn_id"], "worker_id": turn["worker_id"], "input_tokens": 5}
    received = service(stack, "POST", "rpc/chat_extend", json={"extension": extension}).json()
    assert received["outcome"] == "extended"
    alice.rest("POST", "rpc/delete_my_data")
    received = service(stack, "POST", "rpc/chat_extend", json={"extension": extension}).json()
    assert received["outcome"] == "closed"


def test_no_member_can_store_parts_of_a_message(alice: Person, db: Database, model: Models) -> None:
    """A member cannot insert parts, chat_begin ignores them, and ui_messages shows only a question's text."""
    name = model("echo")
    parts = [1, None, {"type": "text"}, {"type": "file", "url": "javascript:alert(1)"}, {"type": "data-receipt"}]
    turn = begin(alice, name, parts=parts)
    finish(alice, turn, parts=[{"type": "step-start"}, {"type": "text", "text": "hello"}])
    conversation = turn["conversation_id"]
    post = {"conversation_id": conversation, "content": "said"}
    assert alice.rest("POST", "messages", json=post | {"parts": parts}).status_code == 403
    assert alice.rest("POST", "messages", json=post).status_code == 201
    assert [row["parts"] for row in alice.rows("messages?role=eq.user")] == [None, None]
    db.execute("update public.messages set parts = %s where user_id = %s", [json.dumps(parts), alice.id])
    shown = alice.rest("POST", "rpc/ui_messages", json={"chat_id": conversation}).json()
    assert [message["parts"] for message in shown] == [
        [{"type": "text", "text": "hi"}],
        [{"type": "step-start"}, {"type": "text", "text": "hello"}],
        [{"type": "text", "text": "said"}],
    ]
