"""Bounds of what users write: every column, and the number of their rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person
from tests.stack.turns import Database

_RTL, _NEWLINE, _ZERO_WIDTH = "\u202e", "\n", "\u200b"


def test_every_text_that_users_write_has_a_check(db: Database) -> None:
    """Each text and jsonb column that a signed-in user may insert or update has a check of its own table and name."""
    unbounded = db.execute(
        """select c.relname || '.' || a.attname as name
           from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attgenerated = ''
             and a.atttypid in ('text'::regtype, 'jsonb'::regtype, 'varchar'::regtype)
             and (has_column_privilege('authenticated', c.oid, a.attnum, 'insert')
               or has_column_privilege('authenticated', c.oid, a.attnum, 'update'))
             and not exists (select from pg_constraint as k where k.conrelid = c.oid
               and (k.contype = 'c' or (k.contype = 'f' and a.atttypid = 'text'::regtype)) and a.attnum = any (k.conkey)
               and (k.contype = 'f' or pg_get_constraintdef(k.oid) ~ 'length|= ANY|~'))"""
    ).fetchall()
    assert unbounded == []


@pytest.mark.parametrize(
    "value", [{"x": "a" * 20_000}, ["a list"], "text", 7, {f"k{number}": number for number in range(3000)}]
)
def test_metadata_of_a_conversation_has_a_bound(alice: Person, model: Models, value: Any) -> None:
    """An object of at most 16 KB; anything else is 400 and changes nothing."""
    ours = alice.whole("hi", model=model("echo"))["conversation_id"]
    path = f"llm_conversations?id=eq.{ours}"
    assert alice.rest("PATCH", path, json={"conversation_metadata": {"colour": "blue"}}).status_code == 204
    refused = alice.rest("PATCH", path, json={"conversation_metadata": value})
    assert (refused.status_code, refused.json()["code"]) == (400, "23514")
    assert alice.rows(path)[0]["conversation_metadata"] == {"colour": "blue"}


@pytest.mark.parametrize(
    "mark", [_NEWLINE, "\r", "\t", "\x1b", "\x7f", _RTL, "\u2066", "\u2028", _ZERO_WIDTH, "\ufeff"]
)
def test_a_name_of_a_node_is_one_plain_line(alice: Person, mark: str) -> None:
    """Other users see the name, so it has no control, line end, invisible or bidirectional character."""
    node = {"owner_id": alice.id, "base_url": "https://a.example/v1"}
    refused = alice.rest("POST", "client_nodes", json=node | {"name": f"good{mark}name"})
    assert (refused.status_code, refused.json()["code"]) == (400, "23514")
    assert (
        alice.rest("POST", "client_nodes", json=node | {"name": "Gut \u00fc \u65e5\u672c \U0001f600"}).status_code
        == 201
    )


def test_a_user_has_a_bounded_number_of_nodes(alice: Person, bob: Person, db: Database) -> None:
    """One node more than nodes_per_person is 422; others are not affected."""
    db.execute("insert into private.settings values ('nodes_per_person', '2')")
    try:
        node = {"name": "n", "base_url": "https://a.example/v1"}
        made = [alice.rest("POST", "client_nodes", json=node | {"owner_id": alice.id}) for _ in range(3)]
        assert [each.status_code for each in made] == [201, 201, 422]
        assert bob.rest("POST", "client_nodes", json=node | {"owner_id": bob.id}).status_code == 201
    finally:
        db.execute("delete from private.settings where name = 'nodes_per_person'")


@pytest.mark.parametrize(("setting", "value"), [("messages_per_person", "2"), ("messages_mb_per_person", "1")])
def test_messages_without_a_turn_are_bounded(
    alice: Person, model: Models, db: Database, setting: str, value: str
) -> None:
    """Their number and their size have a limit of each user; turns go on."""
    name = model("echo")
    ours = alice.whole("hi", model=name)["conversation_id"]
    db.execute("insert into private.settings values (%s, %s)", [setting, value])
    try:
        row = {"conversation_id": ours, "content": "x" * 400_000}
        posted = [alice.rest("POST", "messages", json=row) for _ in range(3)]
        assert [each.status_code for each in posted] == [201, 201, 422]
        assert json.loads(posted[-1].json()["details"])["code"] == "validation_failed"
    finally:
        db.execute("delete from private.settings where name = %s", [setting])
