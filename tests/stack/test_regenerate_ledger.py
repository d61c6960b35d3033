"""Regenerated turns in the ledger: late answers, retried keys, tentative questions, and a model of all of it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, service
from tests.stack.regenerations import join, shown_messages, stored_turns, texts_of
from tests.stack.turns import KEY, Database, asked, begin, die, fail, finish, sweep


def test_a_late_answer_takes_its_place_unless_another_user_has_it(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """After a killed instance the old answer stays; a late finish replaces it unless a new try did."""
    name = model("echo")
    first = begin(alice, name)
    finish(alice, first, content="first")
    conversation_id, regeneration = first["conversation_id"], {"regenerate": True}
    regeneration |= {"conversation_id": conversation_id, "message_id": first["turn_id"]}
    late = begin(alice, name, **regeneration)
    die(db, late)
    sweep(stack)
    assert stored_turns(alice, conversation_id) == [("user", "hi"), ("assistant", "first")]
    finish(alice, late, content="late")
    assert stored_turns(alice, conversation_id) == [("user", "hi"), ("assistant", "late")]
    regeneration["message_id"] = late["turn_id"]
    never = begin(alice, name, **regeneration)
    die(db, never)
    again = begin(alice, name, **regeneration)
    finish(alice, again, content="again")
    assert finish(alice, never, content="never")["outcome"] == "settled"
    assert stored_turns(alice, conversation_id) == [("user", "hi"), ("assistant", "again")]
    cost = db.execute("select cost_usd from public.chat_logs where turn_id = %s", [never["turn_id"]]).fetchone()
    assert cost is not None
    assert cost["cost_usd"] > 0


def test_a_late_answer_to_a_question_that_was_replaced_is_only_booked(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """The answer is not stored, because its question was deleted."""
    name = model("echo")
    lost = begin(alice, name)
    die(db, lost)
    sweep(stack)
    again = begin(alice, name, conversation_id=lost["conversation_id"], regenerate=True)
    finish(alice, again, content="again")
    assert finish(alice, lost, content="lost")["outcome"] == "settled"
    assert stored_turns(alice, lost["conversation_id"]) == [("user", "hi"), ("assistant", "again")]


@pytest.mark.parametrize("is_dead", [True, False])
def test_a_retried_key_goes_on_in_the_same_place(alice: Person, model: Models, db: Database, is_dead: bool) -> None:
    """A retry with the key replaces the turn that the first try should have; later requests replay it."""
    name = model("echo")
    first = begin(alice, name)
    finish(alice, first, content="first")
    regeneration = {"conversation_id": first["conversation_id"], "regenerate": True} | KEY
    tried = begin(alice, name, **regeneration)
    if is_dead:
        die(db, tried)
    else:
        fail(alice, tried)
    again = begin(alice, name, **regeneration)
    assert (again["turn_id"], again["history"]) == (tried["turn_id"], [])
    finish(alice, again, content="again")
    replay = asked(alice, name, **regeneration).json()
    assert (replay["outcome"], replay["message"]["content"]) == ("replay", "again")
    if is_dead:
        assert finish(alice, tried, content="stale")["outcome"] == "stale"
    assert stored_turns(alice, first["conversation_id"]) == [("user", "hi"), ("assistant", "again")]


@pytest.mark.parametrize("ids", [{}, {"question_id": "q1"}], ids=["by words", "by id"])
def test_a_retried_key_comes_after_what_was_asked_since(alice: Person, model: Models, ids: dict[str, str]) -> None:
    """The retry also replaces the turns after the failed try, and leaves them out of the prompt."""
    name = model("echo")
    first = begin(alice, name, **ids)
    finish(alice, first, content="first")
    place = {"conversation_id": first["conversation_id"]}
    regeneration = place | ids | KEY | {"regenerate": True}
    fail(alice, begin(alice, name, **regeneration))
    finish(alice, begin(alice, name, **place), content="between")
    again = begin(alice, name, **regeneration)
    received_text = [message["content"] for message in again["history"]]
    finish(alice, again, content="again")
    kept = stored_turns(alice, first["conversation_id"])
    if ids:
        assert (received_text, kept) == ([], [("user", "hi"), ("assistant", "again")])
    else:  # the latest of the same words is meant
        assert received_text == ["hi", "first"]
        assert kept == [("user", "hi"), ("assistant", "first"), ("user", "hi"), ("assistant", "again")]


def test_tentative_questions_are_deleted_too(alice: Person, bob: Person, model: Models, db: Database) -> None:
    """A question that waits for its answer is deleted with its user's text, in another user's conversation as well."""
    name = model("echo")
    opened = begin(alice, name)
    finish(alice, opened)
    join(alice, bob, opened["conversation_id"])
    first = begin(bob, name, conversation_id=opened["conversation_id"])
    finish(bob, first)
    tried = begin(bob, name, conversation_id=opened["conversation_id"], regenerate=True)
    fail(bob, tried)
    assert len(_asked_by(bob, db)) == 2
    assert bob.rest("POST", "rpc/delete_my_data").status_code == 204
    assert _asked_by(bob, db) == []


def _asked_by(person: Person, db: Database) -> list[dict[str, Any]]:
    return db.execute("select content from public.messages where user_id = %s", [person.id]).fetchall()


_STEP = st.tuples(
    st.sampled_from(["ask", "answer anew", "edit"]), st.integers(0, 5), st.sampled_from("ab"), st.booleans()
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_STEP, min_size=3, max_size=9))
def test_the_database_keeps_what_a_frontend_shows(
    alice: Person, model: Models, steps: list[tuple[str, int, str, bool]]
) -> None:
    """After random questions, edits, retries and failures a model of `useChat` has the stored messages."""
    name, chat_id = model("echo"), uuid.uuid4().hex
    shown: list[tuple[str, str, str | None]] = []  # the frontend's id, the question, its answer
    for number, (wish, number_of_it, words, is_good) in enumerate(steps):
        what, place = (wish, number_of_it % len(shown)) if shown else ("ask", 0)
        question_id = shown[place][0] if what != "ask" else f"q{number}"
        sent_text = shown[place][1] if what == "answer anew" else words
        ids = {"question_id": question_id} | ({"message_id": question_id} if what == "edit" else {})
        turn = begin(alice, name, client_id=chat_id, message=sent_text, regenerate=what == "answer anew", **ids)
        kept = shown if what == "ask" else shown[:place]
        received_text = [text for _, question, answer in kept for text in (question, answer) if text]
        assert [message["content"] for message in turn["history"]] == received_text
        if is_good:
            finish(alice, turn, content=f"answer {number}")
            shown = [*kept, (question_id, sent_text, f"answer {number}")]
        else:
            fail(alice, turn)
            shown = [*kept, (question_id, sent_text, None)] if what == "ask" else shown
        stored = [text for _, question, answer in shown for text in (question, answer) if text]
        assert texts_of(shown_messages(alice, chat_id)) == stored


def test_the_service_sees_what_is_held_back(alice: Person, model: Models, stack: Stack) -> None:
    """The service key can read a tentative question."""
    name = model("echo")
    first = begin(alice, name)
    finish(alice, first)
    fail(alice, begin(alice, name, conversation_id=first["conversation_id"], regenerate=True))
    query = f"messages?conversation_id=eq.{first['conversation_id']}&is_tentative=is.true&select=content"
    assert service(stack, "GET", query).json() == [{"content": "hi"}]
