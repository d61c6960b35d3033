"""Questions that are answered anew: what the model hears, and what the conversation keeps."""

from __future__ import annotations

import uuid
from typing import Any

from tests.stack.conftest import Models
from tests.stack.people import Person
from tests.upstream import Upstream


def _ask(person: Person, chat_id: str, model: str, text: str, trigger: str = "submit-message") -> dict[str, Any]:
    message = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": text}]}
    body = {"messages": [message], "trigger": trigger, "messageId": "whatever", "model": model, "stream": False}
    response = person.ask(body | {"id": chat_id})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def _kept(person: Person, conversation_id: str) -> list[str]:
    rows = person.rows(f"messages?conversation_id=eq.{conversation_id}&select=content&order=created_at")
    return [row["content"].strip() for row in rows]


def test_an_earlier_question_takes_what_its_asker_asked_after_it(
    alice: Person, model: Models, upstream: Upstream
) -> None:
    """As `useChat` cuts its messages; the log keeps every turn."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    for text in ("one", "two", "three"):
        answer = _ask(alice, chat_id, name, text)
    again = _ask(alice, chat_id, name, "two", "regenerate-message")
    assert [m["content"].strip() for m in upstream.calls_of("echo")[-1].body["messages"][1:]] == ["one", "one", "two"]
    assert _kept(alice, answer["conversation_id"]) == ["one", "one", "two", "two"]
    assert len(alice.rows("chat_logs?select=id")) == 4
    assert again["conversation_id"] == answer["conversation_id"]


def test_the_same_words_asked_earlier_stay(alice: Person, model: Models) -> None:
    """Only the latest of two equal questions is answered anew."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    for text in ("go on", "other", "go on"):
        answer = _ask(alice, chat_id, name, text)
    _ask(alice, chat_id, name, "go on", "regenerate-message")
    assert _kept(alice, answer["conversation_id"]) == ["go on", "go on", "other", "other", "go on", "go on"]


def test_nobody_elses_words_are_taken(alice: Person, bob: Person, model: Models) -> None:
    """In a group, what others asked and said stays, before and after."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    conversation_id = _ask(alice, chat_id, name, "mine")["conversation_id"]
    added = alice.rest("POST", "conversation_members", json={"conversation_id": conversation_id, "user_id": bob.id})
    assert added.status_code == 201, added.text
    bob.whole("mine", model=name, conversation_id=conversation_id)
    said = {"conversation_id": conversation_id, "content": "a word between people"}
    assert bob.rest("POST", "messages", json=said).status_code == 201
    _ask(alice, chat_id, name, "mine", "regenerate-message")
    kept = _kept(alice, conversation_id)
    assert kept[0] == "mine"
    assert kept[2] == "a word between people"
    assert len(kept) == 5


def test_a_question_that_is_not_there_is_an_ordinary_turn(alice: Person, model: Models) -> None:
    """Nothing is taken when there is nothing to replace."""
    chat_id, name = uuid.uuid4().hex, model("echo")
    _ask(alice, chat_id, name, "one")
    answer = _ask(alice, chat_id, name, "never asked", "regenerate-message")
    assert _kept(alice, answer["conversation_id"]) == ["one", "one", "never asked", "never asked"]
