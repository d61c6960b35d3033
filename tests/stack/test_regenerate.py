"""Regenerated and edited questions: what is in the prompt, and what the conversation keeps."""

from __future__ import annotations

import uuid

import httpx
import pytest

from tests.fakes.providers import Upstream
from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.people import Person, eventually
from tests.stack.regenerations import REGENERATE, ask, body_of, join, kept_texts, prompt_texts, shown_messages, texts_of
from tests.stack.turns import Database


def test_an_earlier_question_takes_what_its_asker_asked_after_it(
    alice: Person, model: Models, upstream: Upstream
) -> None:
    """Later turns of the same user are replaced, as `useChat` does; the log keeps every turn."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    for text in ("one", "two", "three"):
        answer = ask(alice, chat_id, name, text)
    again = ask(alice, chat_id, name, "two", **REGENERATE)
    assert prompt_texts(upstream) == ["one", "one", "two"]
    assert kept_texts(alice, answer["conversation_id"]) == ["one", "one", "two", "two"]
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
        answer = ask(alice, chat_id, name, text)
    ask(alice, chat_id, name, regeneration, **REGENERATE)
    assert kept_texts(alice, answer["conversation_id"]) == kept


@pytest.mark.parametrize("named_by", ["answer", "question", "own id", "own id alone", "own id, new words"])
def test_an_id_says_which_of_equal_questions_is_meant(alice: Person, model: Models, named_by: str) -> None:
    """An id of the answer or the question, Parley's or the frontend's, precedes the text."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    first = ask(alice, chat_id, name, "go on", id="q1")
    for text in ("other", "go on"):
        ask(alice, chat_id, name, text)
    ids = {"answer": first["id"], "question": shown_messages(alice, chat_id)[0]["id"], "own id": "q1"}
    fields = {"messageId": ids[named_by]} if named_by in ids else {"id": "q1"}
    words = "go on" if named_by != "own id, new words" else "go away"
    ask(alice, chat_id, name, words, **REGENERATE, **fields)
    assert texts_of(shown_messages(alice, chat_id)) == [words] * 2


@pytest.mark.parametrize("is_ours", [True, False])
def test_an_edited_question_takes_the_place_of_the_old_one(
    alice: Person, model: Models, upstream: Upstream, is_ours: bool
) -> None:
    """After repeated edits by `messageId` the prompt has only earlier turns; later turns are deleted."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    ask(alice, chat_id, name, "one")
    ask(alice, chat_id, name, "tow", id="mine")
    ask(alice, chat_id, name, "three")
    edited = shown_messages(alice, chat_id)[2]["id"] if is_ours else "mine"
    for text in ("too", "two"):
        ask(alice, chat_id, name, text, id=edited, messageId=edited)
        assert prompt_texts(upstream) == ["one", "one", text]
        assert texts_of(shown_messages(alice, chat_id)) == ["one", "one", text, text]


def test_an_answers_id_edits_nothing(alice: Person, model: Models) -> None:
    """A `messageId` of an answer or an unknown one, without the trigger, makes an ordinary turn."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    answer = ask(alice, chat_id, name, "one", id="q1")
    ask(alice, chat_id, name, "one", id="q1", messageId=answer["id"])
    ask(alice, chat_id, name, "two", messageId="never seen")
    assert texts_of(shown_messages(alice, chat_id)) == ["one"] * 4 + ["two"] * 2


def test_a_failed_try_is_not_there(alice: Person, model: Models, upstream: Upstream) -> None:
    """The old answer stays visible and in the prompt; the next try replaces the same turn."""
    chat_id, good, bad = uuid.uuid4().hex, model("echo"), model("status-400")
    for text in ("one", "two"):
        conversation_id = ask(alice, chat_id, good, text)["conversation_id"]
    for _ in range(2):
        assert alice.ask(body_of(chat_id, bad, "one", **REGENERATE)).status_code >= 500
    assert (
        texts_of(shown_messages(alice, chat_id)) == kept_texts(alice, conversation_id) == ["one", "one", "two", "two"]
    )
    ask(alice, chat_id, good, "three")
    assert prompt_texts(upstream) == ["one", "one", "two", "two", "three"]
    assert alice.ask(body_of(chat_id, bad, "one", **REGENERATE)).status_code >= 500
    ask(alice, chat_id, good, "one", **REGENERATE)
    assert prompt_texts(upstream) == ["one"]
    assert texts_of(shown_messages(alice, chat_id)) == ["one", "one"]


def test_a_user_who_hangs_up_before_the_first_word_keeps_the_old_answer(
    alice: Person, model: Models, db: Database, upstream: Upstream
) -> None:
    """A running try is hidden and blocks another one; after a hang-up the old answer stays."""
    chat_id, good, name = uuid.uuid4().hex, model("echo"), named("stall-first", "client")
    ask(alice, chat_id, good, "one")
    body = body_of(chat_id, model(name), "one", **REGENERATE, stream=True)
    with httpx.stream("POST", alice.stack["CHAT_URL"], json=body, headers=alice.headers, timeout=60):
        assert upstream.until_called(name)
        assert texts_of(shown_messages(alice, chat_id)) == ["one", "one"]
        assert alice.ask(body_of(chat_id, good, "one", **REGENERATE)).status_code == 409
    query = "select 1 from public.chat_logs where user_id = %s and status = 'cancelled'"
    eventually(lambda: db.execute(query, [alice.id]).fetchone())
    assert texts_of(shown_messages(alice, chat_id)) == ["one", "one"]
    ask(alice, chat_id, good, "one", **REGENERATE)
    assert texts_of(shown_messages(alice, chat_id)) == ["one", "one"]


def test_a_question_without_an_answer_is_answered_in_its_place(alice: Person, model: Models) -> None:
    """After a failed first try and a successful one there is one question with its answer."""
    chat_id, good, bad = uuid.uuid4().hex, model("echo"), model("status-400")
    assert alice.ask(body_of(chat_id, bad, "one")).status_code >= 500
    assert texts_of(shown_messages(alice, chat_id)) == ["one"]
    assert alice.ask(body_of(chat_id, bad, "one", **REGENERATE)).status_code >= 500
    ask(alice, chat_id, good, "one", **REGENERATE)
    assert texts_of(shown_messages(alice, chat_id)) == ["one", "one"]


def test_words_of_others_stay(alice: Person, bob: Person, model: Models) -> None:
    """In a group, messages of other users stay, before and after the replaced turn."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    conversation_id = ask(alice, chat_id, name, "mine")["conversation_id"]
    join(alice, bob, conversation_id)
    bob.whole("mine", model=name, conversation_id=conversation_id)
    sent_text = {"conversation_id": conversation_id, "content": "a word between people"}
    assert bob.rest("POST", "messages", json=sent_text).status_code == 201
    ask(alice, chat_id, name, "mine", **REGENERATE)
    kept = kept_texts(alice, conversation_id)
    assert kept[0] == "mine"
    assert kept[2] == "a word between people"
    assert len(kept) == 5


@pytest.mark.parametrize("named_by", ["answer", "question", "own id"])
def test_the_question_of_another_user_is_asked_again_not_replaced(
    alice: Person, bob: Person, model: Models, named_by: str
) -> None:
    """A user who regenerates or edits a turn of another user asks a question of their own; both stay."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    first = ask(alice, chat_id, name, "why", id="q1")
    conversation_id = first["conversation_id"]
    join(alice, bob, conversation_id)
    bob.whole("why", model=name, conversation_id=conversation_id)
    ids = {"answer": first["id"], "question": shown_messages(alice, chat_id)[0]["id"], "own id": "q1"}
    how = REGENERATE if named_by == "answer" else {}
    fields = {"id": ids[named_by], "messageId": ids[named_by], "conversation_id": conversation_id} | how
    ask(bob, chat_id, name, "why", **fields)
    assert len(kept_texts(alice, conversation_id)) == 6


def test_two_people_may_have_the_same_ids(alice: Person, bob: Person, model: Models) -> None:
    """A client's own id names its user's question, even if another user has a newer one with that id."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    conversation_id = ask(alice, chat_id, name, "one", id="q1")["conversation_id"]
    join(alice, bob, conversation_id)
    ask(bob, "of bob", name, "his", id="q1", conversation_id=conversation_id)
    ask(alice, chat_id, name, "won", id="q1", messageId="q1")
    assert kept_texts(alice, conversation_id)[::2] == ["his", "won"]


def test_a_question_that_is_not_there_is_an_ordinary_turn(alice: Person, model: Models) -> None:
    """Regenerating an unknown question replaces nothing."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    ask(alice, chat_id, name, "one")
    answer = ask(alice, chat_id, name, "never asked", **REGENERATE, messageId="never seen")
    assert kept_texts(alice, answer["conversation_id"]) == ["one", "one", "never asked", "never asked"]


def test_without_storing_the_prompt_leaves_out_the_old_answer(alice: Person, model: Models, upstream: Upstream) -> None:
    """With store: false the prompt has only earlier turns, and the conversation does not change."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    for text in ("one", "two"):
        ask(alice, chat_id, name, text)
    ask(alice, chat_id, name, "two", **REGENERATE, store=False)
    assert prompt_texts(upstream) == ["one", "one", "two"]
    assert texts_of(shown_messages(alice, chat_id)) == ["one", "one", "two", "two"]
