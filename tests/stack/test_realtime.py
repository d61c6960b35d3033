"""Realtime: what the real supabase-js receives of a conversation, and who may join its topic."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.javascript import run
from tests.stack.people import Person
from tests.stack.regenerations import ask, body_of, join, shown_messages
from tests.stack.turns import Database


def _joined(person: Person, conversation_id: str, actor: Person, *acts: dict[str, Any], until: int = 0) -> Any:
    stack = person.stack
    return run(
        "realtime",
        node=("--experimental-websocket",),
        url=stack["SUPABASE_URL"],
        anon=stack["SUPABASE_ANON_KEY"],
        token=person.token,
        topic=f"conversation:{conversation_id}",
        actor=actor.token,
        acts=acts,
        until=until,
    )


@pytest.fixture
def group(alice: Person, bob: Person, model: Models) -> str:
    """A conversation of Alice and Bob."""
    conversation_id: str = ask(alice, uuid.uuid4().hex, model("echo"), "hello")["conversation_id"]
    join(alice, bob, conversation_id)
    return conversation_id


def test_a_member_sees_messages_and_turns_within_a_second(
    alice: Person, bob: Person, group: str, chat_url: str, able: Models
) -> None:
    """Ids only: a message between people, then a turn with its question and answer."""
    post = {"path": "messages", "method": "POST", "body": {"conversation_id": group, "content": "a secret word"}}
    turn = body_of(group, able("echo"), "another secret", resumable=True)
    found = _joined(
        bob,
        group,
        alice,
        post,
        {"path": chat_url, "method": "POST", "body": turn | {"id": None} | {"conversation_id": group}},
        until=5,
    )
    assert found["status"] == "SUBSCRIBED"
    events = [(each["event"], each["payload"].get("role", each["payload"].get("state"))) for each in found["received"]]
    assert sorted(events) == [
        ("message", "assistant"),
        ("message", "user"),
        ("message", "user"),
        ("turn", "settled"),
        ("turn", "started"),
    ]
    assert found["received"][0]["ms"] < 1000
    assert "secret" not in str(found)
    ids = {message["id"] for message in shown_messages(bob, group)}
    assert {each["payload"]["id"] for each in found["received"] if each["event"] == "message"} <= ids


def test_a_stranger_cannot_join(alice: Person, bob: Person, model: Models) -> None:
    """Neither an existing topic nor an unknown one."""
    own = ask(alice, uuid.uuid4().hex, model("echo"), "hello")["conversation_id"]
    assert _joined(alice, own, alice)["status"] == "SUBSCRIBED"
    assert _joined(bob, own, bob)["status"] == "CHANNEL_ERROR"
    assert _joined(bob, str(uuid.uuid4()), bob)["status"] == "CHANNEL_ERROR"


def test_a_removed_member_receives_nothing_more(alice: Person, bob: Person, group: str) -> None:
    """A message after the removal does not arrive."""
    removal = {"path": f"conversation_members?conversation_id=eq.{group}&user_id=eq.{bob.id}", "method": "DELETE"}
    post = {"path": "messages", "method": "POST", "body": {"conversation_id": group, "content": "later"}}
    found = _joined(bob, group, alice, removal, post, until=1)
    assert [each for each in found["received"] if each["event"] == "message"] == []


def test_the_deletion_of_a_group_is_broadcast(alice: Person, group: str, model: Models, db: Database) -> None:
    """The deletion of a group is broadcast, and that of a conversation of one user is not."""
    own = ask(alice, uuid.uuid4().hex, model("echo"), "hello")["conversation_id"]
    for conversation_id in (group, own):
        deleted = alice.rest("POST", "rpc/delete_conversation", json={"conversation_id": conversation_id})
        assert deleted.status_code == 204
    query = "select topic, payload ->> 'operation' as operation from realtime.messages where event = 'conversation'"
    rows = db.execute(query + " and topic = any (%s)", [[f"conversation:{each}" for each in (group, own)]]).fetchall()
    assert rows == [{"topic": f"conversation:{group}", "operation": "DELETE"}]


def test_users_send_no_broadcasts(db: Database) -> None:
    """No policy lets a user write to the topic."""
    policies = db.execute("select polcmd from pg_policy where polrelid = 'realtime.messages'::regclass").fetchall()
    assert [row["polcmd"] for row in policies] == ["r"]


def test_messages_are_published(db: Database) -> None:
    """The publication of Realtime has them, once."""
    rows = db.execute("select tablename from pg_publication_tables where pubname = 'supabase_realtime'").fetchall()
    assert [row["tablename"] for row in rows] == ["messages"]
    assert db.execute("select private.enable_realtime() as again").fetchone() == {"again": True}


def test_members_see_names_and_who_paid(alice: Person, bob: Person, group: str, model: Models) -> None:
    """Each answer names its payer and its model; a stranger gets no names."""
    bob.whole("mine", model=model("echo"), conversation_id=group)
    shown = shown_messages(alice, group)
    assert [m["metadata"].get("paid_by") for m in shown if m["role"] == "assistant"] == [alice.id, bob.id]
    assert all(m["metadata"]["model_label"] for m in shown if m["role"] == "assistant")
    assert "cost_usd" not in shown[-1]["metadata"]
    names = bob.rest("POST", "rpc/member_names", json={"chat_id": group}).json()
    assert set(names) == {alice.id, bob.id}
    assert bob.rest("POST", "rpc/member_names", json={"chat_id": str(uuid.uuid4())}).json() == {}
