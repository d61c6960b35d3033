"""Regenerated and edited questions: what is in the prompt, and what the conversation keeps."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.providers import Upstream
from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, eventually, service
from tests.stack.turns import KEY, Database, asked, begin, die, fail, finish, sweep

_REGENERATE = {"trigger": "regenerate-message"}


def _body(chat_id: str, model: str, text: str, **fields: Any) -> dict[str, Any]:
    message = {"id": fields.pop("id", uuid.uuid4().hex), "role": "user", "parts": [{"type": "text", "text": text}]}
    body = {"id": chat_id, "messages": [message], "trigger": "submit-message", "model": model, "stream": False}
    return body | fields


def _ask(person: Person, chat_id: str, model: str, text: str, **fields: Any) -> dict[str, Any]:
    response = person.ask(_body(chat_id, model, text, **fields))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def _kept(person: Person, conversation_id: str) -> list[str]:
    rows = person.rows(f"messages?conversation_id=eq.{conversation_id}&select=content&order=created_at")
    return [row["content"].strip() for row in rows]


def _shown(person: Person, chat_id: str) -> list[dict[str, Any]]:
    response = person.rest("POST", "rpc/ui_messages", json={"chat_id": chat_id})
    assert response.status_code == 200, response.text
    messages: list[dict[str, Any]] = response.json()
    return messages


def _texts(messages: list[dict[str, Any]]) -> list[str]:
    return ["".join(part["text"] for part in m["parts"] if part["type"] == "text").strip() for m in messages]


def _prompt_texts(upstream: Upstream, name: str = "echo") -> list[str]:
    """The messages of the last prompt, after the system prompt."""
    return [message["content"].strip() for message in upstream.calls_of(name)[-1].body["messages"][1:]]


def _join(owner: Person, member: Person, conversation_id: str) -> None:
    row = {"conversation_id": conversation_id, "user_id": member.id}
    assert owner.rest("POST", "conversation_members", json=row).status_code == 201


def test_an_earlier_question_takes_what_its_asker_asked_after_it(
    alice: Person, model: Models, upstream: Upstream
) -> None:
    """Later turns of the same user are replaced, as `useChat` does; the log keeps every turn."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    for text in ("one", "two", "three"):
        answer = _ask(alice, chat_id, name, text)
    again = _ask(alice, chat_id, name, "two", **_REGENERATE)
    assert _prompt_texts(upstream) == ["one", "one", "two"]
    assert _kept(alice, answer["conversation_id"]) == ["one", "one", "two", "two"]
    assert len(alice.rows("chat_logs?select=id")) == 4
    assert again["conversation_id"] == answer["conversation_id"]


@pytest.mark.parametrize(
    ("sent_text", "regeneration", "kept"),
    [
        (["roll", "roll", "roll"], "roll", ["roll"] * 6),
        (["go on", "go on", "other"], "go on", ["go on"] * 4),
        (["go on", "other", "go on"], "go on", ["go on", "go on", "other", "other", "go on", "go on"]),
    ],
)
def test_the_same_words_asked_earlier_stay(
    alice: Person, model: Models, sent_text: list[str], regeneration: str, kept: list[str]
) -> None:
    """Without an id the latest of equal questions is regenerated, and the earlier ones stay."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    for text in sent_text:
        answer = _ask(alice, chat_id, name, text)
    _ask(alice, chat_id, name, regeneration, **_REGENERATE)
    assert _kept(alice, answer["conversation_id"]) == kept


@pytest.mark.parametrize("named_by", ["answer", "question", "own id", "own id alone", "own id, new words"])
def test_an_id_says_which_of_equal_questions_is_meant(alice: Person, model: Models, named_by: str) -> None:
    """An id of the answer or the question, Parley's or the frontend's, precedes the text."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    first = _ask(alice, chat_id, name, "go on", id="q1")
    for text in ("other", "go on"):
        _ask(alice, chat_id, name, text)
    ids = {"answer": first["id"], "question": _shown(alice, chat_id)[0]["id"], "own id": "q1"}
    fields = {"messageId": ids[named_by]} if named_by in ids else {"id": "q1"}
    words = "go on" if named_by != "own id, new words" else "go away"
    _ask(alice, chat_id, name, words, **_REGENERATE, **fields)
    assert _texts(_shown(alice, chat_id)) == [words] * 2


@pytest.mark.parametrize("is_ours", [True, False])
def test_an_edited_question_takes_the_place_of_the_old_one(
    alice: Person, model: Models, upstream: Upstream, is_ours: bool
) -> None:
    """After repeated edits by `messageId` the prompt has only earlier turns; later turns are deleted."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    _ask(alice, chat_id, name, "one")
    _ask(alice, chat_id, name, "tow", id="mine")
    _ask(alice, chat_id, name, "three")
    edited = _shown(alice, chat_id)[2]["id"] if is_ours else "mine"
    for text in ("too", "two"):
        _ask(alice, chat_id, name, text, id=edited, messageId=edited)
        assert _prompt_texts(upstream) == ["one", "one", text]
        assert _texts(_shown(alice, chat_id)) == ["one", "one", text, text]


def test_an_answers_id_edits_nothing(alice: Person, model: Models) -> None:
    """A `messageId` of an answer or an unknown one, without the trigger, makes an ordinary turn."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    answer = _ask(alice, chat_id, name, "one", id="q1")
    _ask(alice, chat_id, name, "one", id="q1", messageId=answer["id"])
    _ask(alice, chat_id, name, "two", messageId="never seen")
    assert _texts(_shown(alice, chat_id)) == ["one"] * 4 + ["two"] * 2


def test_a_failed_try_is_not_there(alice: Person, model: Models, upstream: Upstream) -> None:
    """The old answer stays visible and in the prompt; the next try replaces the same turn."""
    chat_id, good, bad = uuid.uuid4().hex, model("echo"), model("status-400")
    for text in ("one", "two"):
        conversation_id = _ask(alice, chat_id, good, text)["conversation_id"]
    for _ in range(2):
        assert alice.ask(_body(chat_id, bad, "one", **_REGENERATE)).status_code >= 500
    assert _texts(_shown(alice, chat_id)) == _kept(alice, conversation_id) == ["one", "one", "two", "two"]
    _ask(alice, chat_id, good, "three")
    assert _prompt_texts(upstream) == ["one", "one", "two", "two", "three"]
    assert alice.ask(_body(chat_id, bad, "one", **_REGENERATE)).status_code >= 500
    _ask(alice, chat_id, good, "one", **_REGENERATE)
    assert _prompt_texts(upstream) == ["one"]
    assert _texts(_shown(alice, chat_id)) == ["one", "one"]


def test_a_user_who_hangs_up_before_the_first_word_keeps_the_old_answer(
    alice: Person, model: Models, db: Database, upstream: Upstream
) -> None:
    """A running try is hidden and blocks another one; after a hang-up the old answer stays."""
    chat_id, good, name = uuid.uuid4().hex, model("echo"), named("stall-first", "client")
    _ask(alice, chat_id, good, "one")
    body = _body(chat_id, model(name), "one", **_REGENERATE, stream=True)
    with httpx.stream("POST", alice.stack["CHAT_URL"], json=body, headers=alice.headers, timeout=60):
        assert upstream.until_called(name)
        assert _texts(_shown(alice, chat_id)) == ["one", "one"]
        assert alice.ask(_body(chat_id, good, "one", **_REGENERATE)).status_code == 409
    query = "select 1 from public.chat_logs where user_id = %s and status = 'cancelled'"
    eventually(lambda: db.execute(query, [alice.id]).fetchone())
    assert _texts(_shown(alice, chat_id)) == ["one", "one"]
    _ask(alice, chat_id, good, "one", **_REGENERATE)
    assert _texts(_shown(alice, chat_id)) == ["one", "one"]


def test_a_question_without_an_answer_is_answered_in_its_place(alice: Person, model: Models) -> None:
    """After a failed first try and a successful one there is one question with its answer."""
    chat_id, good, bad = uuid.uuid4().hex, model("echo"), model("status-400")
    assert alice.ask(_body(chat_id, bad, "one")).status_code >= 500
    assert _texts(_shown(alice, chat_id)) == ["one"]
    assert alice.ask(_body(chat_id, bad, "one", **_REGENERATE)).status_code >= 500
    _ask(alice, chat_id, good, "one", **_REGENERATE)
    assert _texts(_shown(alice, chat_id)) == ["one", "one"]


def test_words_of_others_stay(alice: Person, bob: Person, model: Models) -> None:
    """In a group, messages of other users stay, before and after the replaced turn."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    conversation_id = _ask(alice, chat_id, name, "mine")["conversation_id"]
    _join(alice, bob, conversation_id)
    bob.whole("mine", model=name, conversation_id=conversation_id)
    sent_text = {"conversation_id": conversation_id, "content": "a word between people"}
    assert bob.rest("POST", "messages", json=sent_text).status_code == 201
    _ask(alice, chat_id, name, "mine", **_REGENERATE)
    kept = _kept(alice, conversation_id)
    assert kept[0] == "mine"
    assert kept[2] == "a word between people"
    assert len(kept) == 5


@pytest.mark.parametrize("named_by", ["answer", "question", "own id"])
def test_the_question_of_another_user_is_asked_again_not_replaced(
    alice: Person, bob: Person, model: Models, named_by: str
) -> None:
    """A user who regenerates or edits a turn of another user asks a question of their own; both stay."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    first = _ask(alice, chat_id, name, "why", id="q1")
    conversation_id = first["conversation_id"]
    _join(alice, bob, conversation_id)
    bob.whole("why", model=name, conversation_id=conversation_id)
    ids = {"answer": first["id"], "question": _shown(alice, chat_id)[0]["id"], "own id": "q1"}
    how = _REGENERATE if named_by == "answer" else {}
    fields = {"id": ids[named_by], "messageId": ids[named_by], "conversation_id": conversation_id} | how
    _ask(bob, chat_id, name, "why", **fields)
    assert len(_kept(alice, conversation_id)) == 6


def test_two_people_may_have_the_same_ids(alice: Person, bob: Person, model: Models) -> None:
    """A client's own id names its user's question, even if another user has a newer one with that id."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    conversation_id = _ask(alice, chat_id, name, "one", id="q1")["conversation_id"]
    _join(alice, bob, conversation_id)
    _ask(bob, "of bob", name, "his", id="q1", conversation_id=conversation_id)
    _ask(alice, chat_id, name, "won", id="q1", messageId="q1")
    assert _kept(alice, conversation_id)[::2] == ["his", "won"]


def test_a_question_that_is_not_there_is_an_ordinary_turn(alice: Person, model: Models) -> None:
    """Regenerating an unknown question replaces nothing."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    _ask(alice, chat_id, name, "one")
    answer = _ask(alice, chat_id, name, "never asked", **_REGENERATE, messageId="never seen")
    assert _kept(alice, answer["conversation_id"]) == ["one", "one", "never asked", "never asked"]


def test_without_storing_the_prompt_leaves_out_the_old_answer(alice: Person, model: Models, upstream: Upstream) -> None:
    """With store: false the prompt has only earlier turns, and the conversation does not change."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    for text in ("one", "two"):
        _ask(alice, chat_id, name, text)
    _ask(alice, chat_id, name, "two", **_REGENERATE, store=False)
    assert _prompt_texts(upstream) == ["one", "one", "two"]
    assert _texts(_shown(alice, chat_id)) == ["one", "one", "two", "two"]


def _turns(person: Person, conversation_id: str) -> list[tuple[str, str]]:
    rows = person.rows(f"messages?conversation_id=eq.{conversation_id}&select=role,content&order=created_at")
    return [(row["role"], row["content"]) for row in rows]


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
    assert _turns(alice, conversation_id) == [("user", "hi"), ("assistant", "first")]
    finish(alice, late, content="late")
    assert _turns(alice, conversation_id) == [("user", "hi"), ("assistant", "late")]
    regeneration["message_id"] = late["turn_id"]
    never = begin(alice, name, **regeneration)
    die(db, never)
    again = begin(alice, name, **regeneration)
    finish(alice, again, content="again")
    assert finish(alice, never, content="never")["outcome"] == "settled"
    assert _turns(alice, conversation_id) == [("user", "hi"), ("assistant", "again")]
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
    assert _turns(alice, lost["conversation_id"]) == [("user", "hi"), ("assistant", "again")]


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
    assert _turns(alice, first["conversation_id"]) == [("user", "hi"), ("assistant", "again")]


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
    kept = _turns(alice, first["conversation_id"])
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
    _join(alice, bob, opened["conversation_id"])
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


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
        assert _texts(_shown(alice, chat_id)) == stored


def test_the_service_sees_what_is_held_back(alice: Person, model: Models, stack: Stack) -> None:
    """The service key can read a tentative question."""
    name = model("echo")
    first = begin(alice, name)
    finish(alice, first)
    fail(alice, begin(alice, name, conversation_id=first["conversation_id"], regenerate=True))
    query = f"messages?conversation_id=eq.{first['conversation_id']}&is_tentative=is.true&select=content"
    assert service(stack, "GET", query).json() == [{"content": "hi"}]
