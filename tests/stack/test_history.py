"""The history in a prompt: whole turns that fit; all other messages are counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.providers import Upstream
from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.people import Person, log_row
from tests.stack.turns import Database, begin, conversation_with, finish


def _tokens(messages: list[dict[str, Any]]) -> int:
    return sum((len(m["content"].encode()) + 2) // 3 + 4 for m in messages)


def test_three_hundred_turns_are_answered_within_the_models_context(
    alice: Person, db: Database, model: Models, upstream: Upstream
) -> None:
    """The prompt has the newest whole turns and the question; the row counts every other message."""
    name = named("echo", "client")
    conversation = conversation_with(db, alice, 300, words=60)
    answer = alice.whole("and now?", model=model(name), conversation_id=conversation)
    (call,) = upstream.calls_of(name)
    text = [m["content"] for m in call.body["messages"] if m["role"] != "system"]
    assert text[-1].endswith("and now?")
    history = text[:-1]
    numbers = [int(each.split()[1]) for each in history]
    assert numbers == [n for n in range(numbers[0], 301) for _ in range(2)]
    assert sum((len(each.encode()) + 2) // 3 + 4 for each in text) <= 8192 - 1000
    row = log_row(db, answer["id"])
    assert row["history_left_out"] == 600 - len(history)
    assert row["history_left_out"] > 400


@pytest.mark.parametrize(("turns", "window", "shown"), [(300, 10**6, 601), (700, 10**6, 999), (300, 20000, None)])
def test_what_is_left_out_is_counted_however_long_a_conversation_is(
    alice: Person, db: Database, model: Models, turns: int, window: int, shown: int | None
) -> None:
    """The prompt has all messages, or the whole turns of the last thousand that fit; all others are counted."""
    name, conversation = model("echo"), conversation_with(db, alice, turns)
    post = {"conversation_id": conversation, "content": "among ourselves"}
    assert alice.rest("POST", "messages", json=post).status_code == 201
    capabilities = json.dumps({"context_window": window, "max_output_tokens": 1000})
    db.execute("update public.llm_models set capabilities = %s where model_key = %s", [capabilities, name])
    turn = begin(alice, name, conversation_id=conversation)
    history = turn["history"]
    assert len(history) + turn["history_left_out"] == turns * 2 + 1
    assert (shown is None) or len(history) == shown
    assert [m["role"] for m in history] == ["user", "assistant"] * (len(history) // 2) + ["user"]
    assert _tokens(history) <= window - 1000
    assert shown is not None or _tokens(history) > window - 1000 - 200  # no more falls away than must


def test_a_long_conversation_counts_all_its_messages(alice: Person, db: Database, model: Models) -> None:
    """In every turn each of ten thousand messages is in the prompt or counted as left out."""
    name, conversation = model("echo"), conversation_with(db, alice, 5000)
    db.execute("analyze public.messages")
    for _ in range(5):
        turn = begin(alice, name, conversation_id=conversation)
        finish(alice, turn)
    assert turn["history_left_out"] + len(turn["history"]) == 10_000 + 2 * 4


def test_a_question_and_its_answer_stay_or_go_together(alice: Person, db: Database, model: Models) -> None:
    """An answer is left out with its question, even if it would fit alone; messages without a turn are separate."""
    name, conversation = model("echo"), conversation_with(db, alice, 1, words=1)
    long = begin(alice, name, conversation_id=conversation, message="x" * 30_000)
    finish(alice, long, content="short")
    post = {"conversation_id": conversation, "content": "just saying"}
    assert alice.rest("POST", "messages", json=post).status_code == 201
    turn = begin(alice, name, conversation_id=conversation)
    assert [m["content"] for m in turn["history"]] == ["just saying"]
    assert turn["history_left_out"] == 4


def test_a_question_whose_turn_failed_stays_in_the_history(alice: Person, model: Models) -> None:
    """The history then has two questions in a row; a retry leaves out its own question."""
    name, key = model("echo"), {"idempotency_key": "k", "body_hash": "h"}
    first = begin(alice, name, message="first", **key)
    finish(alice, first, status="failed", content="", response=None)
    again = begin(alice, name, message="first", **key)
    assert (again["turn_id"], again["history"]) == (first["turn_id"], [])
    finish(alice, again, status="failed", content="", response=None)
    second = begin(alice, name, message="second", conversation_id=first["conversation_id"])
    assert [(m["role"], m["content"]) for m in second["history"]] == [("user", "first")]
    assert (second["history_left_out"], second["speaker"]) == (0, None)
    assert "name" not in second["history"][0]
