"""Who may follow and stop a resumable turn."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import httpx

from tests.stack.conftest import Models
from tests.stack.keys import new_key, revoke
from tests.stack.people import Person, frames
from tests.stack.regenerations import join
from tests.stack.resumable import Reader, question
from tests.stack.turns import Database


def test_strangers_neither_follow_nor_stop(alice: Person, bob: Person, chat: str, able: Models) -> None:
    """A stranger gets 204 and 404; a member follows, but only the asker and the owner stop."""
    chat_id = uuid.uuid4().hex
    first = Reader(alice, "POST", chat, question(chat_id, able("stall")))
    first.until("two ")
    (conversation,) = alice.rows("llm_conversations?select=id")
    path = f"{chat}/{conversation['id']}"
    assert httpx.get(f"{path}/stream", headers=bob.headers).status_code == 204
    assert bob.ask({}, f"{path}/stop").status_code == 404
    assert httpx.post(f"{path}/stop").status_code == 401
    join(alice, bob, conversation["id"])
    follower = Reader(bob, "GET", f"{path}/stream")
    follower.until("two ")
    assert bob.ask({}, f"{path}/stop").json() == {"stopped": False, "turn_id": None}
    assert alice.ask({}, f"{path}/stop").json()["stopped"]
    assert frames(follower.end())[-1]["type"] == "finish"
    first.end()


def test_an_api_key_follows_and_stops_for_its_owner(alice: Person, bob: Person, chat: str, able: Models) -> None:
    """Only with the scope `chat`, only where its owner may, and not after it was revoked."""
    key, models, other = new_key(alice), new_key(alice, scopes=["models"]), new_key(bob)
    chat_id = uuid.uuid4().hex
    first = Reader(alice, "POST", chat, question(chat_id, able("stall")))
    first.until("two ")
    (conversation,) = alice.rows("llm_conversations?select=id")
    path = f"{chat}/{conversation['id']}"

    def got(sent: dict[str, Any], verb: str = "stop", method: str = "POST") -> httpx.Response:
        return httpx.request(method, f"{path}/{verb}", headers={"x-api-key": sent["key"]}, timeout=30)

    assert [got(each).status_code for each in (models, other)] == [403, 404]
    assert [got(each, "stream", "GET").status_code for each in (models, other)] == [403, 204]
    follower = Reader(replace(alice, token=key["key"]), "GET", f"{path}/stream")
    follower.until("two ")
    revoked = new_key(alice)
    assert got(revoked, "stop").json()["stopped"]
    assert frames(follower.end())[-1]["type"] == "finish"
    first.end()
    assert revoke(alice, revoked) == 204
    assert got(revoked, "stop").status_code == 401


def test_a_removed_member_reads_nothing_more(alice: Person, bob: Person, chat: str, able: Models, db: Database) -> None:
    """Their own running answer ends, and so does their reading of another's."""
    chat_id = uuid.uuid4().hex
    first = Reader(alice, "POST", chat, question(chat_id, able("echo")))
    first.end()
    (conversation,) = alice.rows("llm_conversations?select=id")
    join(alice, bob, conversation["id"])
    endless = able("endless")
    asking = Reader(bob, "POST", chat, question(conversation["id"], endless))
    asking.until("on ")
    follower = Reader(bob, "GET", f"{chat}/{conversation['id']}/stream")
    follower.until("on ")
    path = f"conversation_members?conversation_id=eq.{conversation['id']}&user_id=eq.{bob.id}"
    assert alice.rest("DELETE", path).status_code == 204
    assert frames(asking.end())[-1]["type"] == "finish"
    assert frames(follower.end())[-1]["type"] in {"abort", "finish"}
    logged = "select status from public.chat_logs where user_id = %s"
    assert [row["status"] for row in db.execute(logged, [bob.id])] == ["cancelled"]
