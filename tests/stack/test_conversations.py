"""A conversation: its title, its id, and the channel and thread where it began."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person
from tests.stack.turns import begin, finish


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("What is a tick?\nAnd a point?", "What is a tick?"),
        ("\n\n  \t What   is\ta tick? \r\nx", "What is a tick?"),
        ("word " * 30, ("word " * 16).strip()),
        ("x" * 80 + " more", "x" * 80),
        ("x" * 79 + " more", "x" * 79),
        ("x" * 200, "x" * 80),
        ("日本語" * 40, ("日本語" * 27)[:80]),
        ("one\u2028two", "one"),
        ("a\u0007b", "a b"),
    ],
)
def test_a_conversation_is_titled_by_its_first_question(alice: Person, model: Models, message: str, title: str) -> None:
    """The title is the first line with text, at most eighty characters, cut between words if possible."""
    turn = begin(alice, model("echo"), message=message)
    assert alice.rows(f"llm_conversations?id=eq.{turn['conversation_id']}")[0]["title"] == title


def test_a_title_that_stands_is_not_overwritten(alice: Person, model: Models) -> None:
    """A later question does not replace a title, nor does a first one the owner's; without text there is none."""
    name = model("echo")
    first = begin(alice, name, message="   \n ")
    path = f"llm_conversations?id=eq.{first['conversation_id']}"
    assert alice.rows(path)[0]["title"] is None
    finish(alice, first)
    for message, title in (("one", "one"), ("two", "one"), ("three", "mine")):
        if title == "mine":
            assert alice.rest("PATCH", path, json={"title": "mine"}).status_code == 204
        finish(alice, begin(alice, name, conversation_id=first["conversation_id"], message=message))
        assert alice.rows(path)[0]["title"] == title


def test_an_id_is_the_same_in_either_case(alice: Person, model: Models) -> None:
    """A conversation is found by its id in any letter case; a frontend's own id is compared exactly."""
    name, own = model("echo"), str(uuid.uuid4()).upper()
    conversation = alice.whole("hi", model=name, id=own)["conversation_id"]
    for chat_id in (own, conversation, conversation.upper()):
        assert alice.rest("POST", "rpc/ui_messages", json={"chat_id": chat_id}).json()[0]["metadata"] is not None
        assert alice.whole("again", model=name, id=chat_id)["conversation_id"] == conversation
    assert alice.rest("POST", "rpc/ui_messages", json={"chat_id": own.lower()}).json() == []


def test_earlier_messages_are_read_before_the_oldest_shown_one(alice: Person, bob: Person, model: Models) -> None:
    """`before` names a message of the conversation: the pages have each message once, in order, and then end."""
    conversation = alice.whole("first", model=model("echo"))["conversation_id"]
    new = [{"conversation_id": conversation, "content": f"message {number}"} for number in range(1500)]
    assert alice.rest("POST", "messages", json=new).status_code == 201

    def read(person: Person, before: str | None) -> list[dict[str, Any]]:
        body = {"chat_id": conversation, "before": before}
        shown: list[dict[str, Any]] = person.rest("POST", "rpc/ui_messages", json=body).json()
        return shown

    newest = read(alice, None)
    earlier = read(alice, newest[0]["id"])
    assert (len(newest), len(earlier), read(alice, earlier[0]["id"])) == (1000, 502, [])
    assert len({message["id"] for message in earlier + newest}) == 1502
    assert earlier[0]["parts"][0]["text"] == "first"
    times = [message["metadata"]["created_at"] for message in earlier + newest]
    assert times == sorted(times)
    assert read(bob, newest[0]["id"]) == read(alice, str(uuid.uuid4())) == []


def test_a_new_conversation_keeps_the_channel_and_thread_it_began_in(alice: Person, model: Models) -> None:
    """A conversation keeps its first channel and thread when a later turn names others."""
    name, place = model("echo"), {"channel_id": "C024BE91L", "thread_ts": "1355517523.000005"}
    conversation = alice.whole("hi", model=name, **place)["conversation_id"]
    alice.whole("again", model=name, conversation_id=conversation, channel_id="elsewhere")
    (row,) = alice.rows(f"llm_conversations?id=eq.{conversation}")
    assert {column: row[column] for column in place} == place
    assert alice.rows("chat_logs?select=endpoint") == [{"endpoint": "chat"}] * 2
