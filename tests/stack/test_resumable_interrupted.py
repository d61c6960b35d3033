"""Resumable turns whose instance is killed, or whose conversation is deleted."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.fakes.providers import Script, Upstream
from tests.providers import variables
from tests.stack.assists import name_of, plays
from tests.stack.conftest import Models
from tests.stack.people import Person, eventually, frames, text_of
from tests.stack.regenerations import shown_messages, texts_of
from tests.stack.resumable import Reader, answers_of, question
from tests.stack.turns import Database, die, reserved_usd, sweep, words_left


@pytest.fixture
def killed(
    alice: Person, upstream: Upstream, able: Models, function: Callable[..., Any], db: Database
) -> tuple[str, dict[str, Any]]:
    """The chat id and the turn of an answer whose instance was killed after two words."""
    chat_id = uuid.uuid4().hex
    url, process = function("chat", **variables(upstream))
    first = Reader(alice, "POST", url, question(chat_id, able("stall")))
    kept = (
        "select p.turn_id from private.turn_pieces as p join private.turns as r on r.id = p.turn_id where user_id = %s"
    )
    found = eventually(lambda: db.execute(kept, [alice.id]).fetchone())
    process.kill()
    process.wait(10)
    assert "two " in first.text
    return chat_id, {"turn_id": str(found["turn_id"])}


def test_words_of_a_killed_instance_are_shown_and_a_retry_replaces_them(
    alice: Person, chat: str, able: Models, db: Database, killed: tuple[str, dict[str, Any]]
) -> None:
    """The lease is at most half a minute; then the stream ends with an error, and the retry is the only answer."""
    chat_id, turn = killed
    lease = db.execute(
        "select extract(epoch from lease_until - now()) as left from private.turns where id = %s", [turn["turn_id"]]
    ).fetchone()
    assert lease is not None
    assert 0 < lease["left"] <= 30
    die(db, turn)
    found = httpx.get(f"{chat}/{chat_id}/stream", headers=alice.headers, timeout=10)
    events = frames(found.text)
    assert (text_of(events), events[-1]["type"]) == ("one two ", "error")
    again = question(chat_id, able("echo"), stream=False, trigger="regenerate-message", messageId=turn["turn_id"])
    assert alice.ask(again, chat).status_code == 200
    assert texts_of(shown_messages(alice, chat_id)) == ["Tell me."] * 2
    assert httpx.get(f"{chat}/{chat_id}/stream", headers=alice.headers).status_code == 204
    sweep(alice.stack)
    assert texts_of(shown_messages(alice, chat_id)) == ["Tell me."] * 2
    assert reserved_usd(db, alice) == 0
    assert sorted(row["status"] for row in alice.rows("chat_logs?select=status")) == ["abandoned", "completed"]


def test_a_sweep_stores_the_words_of_a_killed_instance(
    alice: Person, db: Database, killed: tuple[str, dict[str, Any]]
) -> None:
    """They are a partial answer, the pieces are gone, and nothing stays reserved."""
    chat_id, turn = killed
    die(db, turn)
    assert sweep(alice.stack) >= 1
    (answer,) = answers_of(db, alice)
    assert (answer["content"], answer["status"], answer["logged"]) == ("one two ", "partial", "abandoned")
    assert texts_of(shown_messages(alice, chat_id)) == ["Tell me.", "one two"]
    assert db.execute("select 1 from private.turn_pieces where turn_id = %s", [turn["turn_id"]]).fetchall() == []
    assert reserved_usd(db, alice) == 0


@pytest.mark.parametrize("how", ["conversation", "data"])
def test_a_deletion_takes_the_kept_words_and_ends_the_answer(
    alice: Person, chat: str, able: Models, upstream: Upstream, db: Database, how: str
) -> None:
    """Nothing of the words is left in the database, and the model's call ends."""
    planted, identifier = f"planted{uuid.uuid4().hex}", able("planted")
    plays(upstream, identifier, Script((f"{planted} ",), "silent"))
    first = Reader(alice, "POST", chat, question("c", identifier))
    first.until(planted)
    eventually(lambda: "private.turn_pieces" in words_left(db, planted))
    (conversation,) = alice.rows("llm_conversations?select=id")
    call = (
        ("delete_conversation", {"conversation_id": conversation["id"]})
        if how == "conversation"
        else ("delete_my_data", {})
    )
    assert alice.rest("POST", f"rpc/{call[0]}", json=call[1]).status_code == 204
    assert upstream.until_hung_up(name_of(identifier))
    first.end()
    assert words_left(db, planted) == []
