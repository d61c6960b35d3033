"""Shares and invitations: what they show, who may use them, and how they end."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, service, sign_up
from tests.stack.regenerations import REGENERATE, ask, join, shown_messages, texts_of
from tests.stack.turns import Database, words_left


def _rpc(person: Person, name: str, **arguments: Any) -> httpx.Response:
    return person.rest("POST", f"rpc/{name}", json=arguments)


def _made(person: Person, name: str, **arguments: Any) -> dict[str, Any]:
    response = _rpc(person, name, **arguments)
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()
    return made


@pytest.fixture
def conversation(alice: Person, model: Models) -> tuple[str, str]:
    """Alice's chat with one question: its client's id and its own."""
    chat_id = uuid.uuid4().hex
    answer = ask(alice, chat_id, model("echo"), "hello there")
    return chat_id, answer["conversation_id"]


def test_a_share_shows_what_was_there_when_it_was_made(
    alice: Person, bob: Person, model: Models, conversation: tuple[str, str]
) -> None:
    """Later, edited and regenerated messages are not in it; ids, users and costs are not either."""
    chat_id, own_id = conversation
    share = _made(alice, "create_share", conversation_id=own_id)
    ask(alice, chat_id, model("echo"), "later words")
    ask(alice, chat_id, model("echo"), "other words", messageId=shown_messages(alice, chat_id)[0]["id"])
    ask(alice, chat_id, model("echo"), "other words", **REGENERATE)
    shown = _made(bob, "shared_conversation", token=share["token"])
    assert texts_of(shown["messages"]) == ["hello there"] * 2
    assert shown["title"] == "hello there"
    assert [set(message) for message in shown["messages"]] == [{"role", "parts", "metadata"}] * 2
    assert [message["metadata"].get("author") for message in shown["messages"]] == [1, None]
    assert alice.id not in str(shown)
    assert own_id not in str(shown)


def test_a_revoked_or_expired_share_shows_nothing(
    alice: Person, bob: Person, conversation: tuple[str, str], db: Database
) -> None:
    """Its token is as unknown as any other, and its words are gone from the table."""
    _, own_id = conversation
    first = _made(alice, "create_share", conversation_id=own_id)
    second = _made(alice, "create_share", conversation_id=own_id, expires_in_days=3)
    assert len(alice.rows("conversation_shares?select=id,expires_at")) == 2
    assert bob.rest("DELETE", f"conversation_shares?id=eq.{first['id']}").status_code == 204
    assert _rpc(bob, "shared_conversation", token=first["token"]).status_code == 200
    assert alice.rest("DELETE", f"conversation_shares?id=eq.{first['id']}").status_code == 204
    db.execute("update public.conversation_shares set expires_at = now() where id = %s", [second["id"]])
    for token in (first["token"], second["token"], second["id"], "x"):
        refused = _rpc(bob, "shared_conversation", token=token)
        assert (refused.status_code, refused.json()["details"]) == (
            404,
            '{"code": "share_not_found", "metadata": {}}',
        )
    service(alice.stack, "POST", "rpc/thin_turns", json={})
    assert alice.rows("conversation_shares?select=id") == []


def test_only_the_owner_shares_and_invites(alice: Person, bob: Person, conversation: tuple[str, str]) -> None:
    """A stranger gets 404, a member 403; a wrong expiry or address is 422; tokens cannot be read."""
    _, own_id = conversation
    for name in ("create_share", "create_invitation"):
        assert _rpc(bob, name, conversation_id=own_id).status_code == 404
        assert _rpc(alice, name, conversation_id=own_id, expires_in_days=0).status_code == 422
    assert _rpc(alice, "create_invitation", conversation_id=own_id, email="no address").status_code == 422
    join(alice, bob, own_id)
    for name in ("create_share", "create_invitation"):
        assert _rpc(bob, name, conversation_id=own_id).status_code == 403
    for table in ("conversation_shares", "conversation_invitations"):
        assert alice.rest("GET", f"{table}?select=token_hash").status_code == 403


@pytest.mark.parametrize("how", ["conversation", "data of a member", "account of a member"])
def test_a_deletion_takes_shares_with_its_words(
    alice: Person, bob: Person, model: Models, db: Database, how: str
) -> None:
    """Also when the words are a member's and the share is the owner's."""
    planted, chat_id = f"planted{uuid.uuid4().hex}", uuid.uuid4().hex
    own_id = ask(alice, chat_id, model("echo"), "hello")["conversation_id"]
    join(alice, bob, own_id)
    bob.whole(planted, model=model("echo"), conversation_id=own_id)
    share = _made(alice, "create_share", conversation_id=own_id)
    assert planted in str(_made(bob, "shared_conversation", token=share["token"]))
    if how == "conversation":
        assert _rpc(alice, "delete_conversation", conversation_id=own_id).status_code == 204
    elif how == "data of a member":
        assert _rpc(bob, "delete_my_data").status_code == 204
    else:
        db.execute("delete from auth.users where id = %s", [bob.id])
    assert words_left(db, planted) == []
    assert _rpc(alice, "shared_conversation", token=share["token"]).status_code == 404


def test_a_link_lets_people_in_until_it_is_revoked(
    alice: Person, bob: Person, stack: Stack, conversation: tuple[str, str]
) -> None:
    """Two people join by it, each once; after its deletion a third cannot."""
    _, own_id = conversation
    invitation = _made(alice, "create_invitation", conversation_id=own_id)
    carol, dave = sign_up(stack), sign_up(stack)
    for person in (bob, carol, bob):
        assert _rpc(person, "accept_invitation", token=invitation["token"]).json() == own_id
    assert len(bob.rows(f"messages?conversation_id=eq.{own_id}")) == 2
    assert alice.rest("DELETE", f"conversation_invitations?id=eq.{invitation['id']}").status_code == 204
    assert _rpc(dave, "accept_invitation", token=invitation["token"]).status_code == 404
    assert dave.rows("messages") == []


def test_an_invitation_to_an_address_is_for_its_user(
    alice: Person, bob: Person, stack: Stack, conversation: tuple[str, str], db: Database
) -> None:
    """The confirmed address counts, whatever its case; another user with the link is refused; it works once."""
    _, own_id = conversation
    carol = sign_up(stack)
    invitation = _made(alice, "create_invitation", conversation_id=own_id, email=f" {bob.email.upper()}")
    assert _rpc(carol, "accept_invitation", token=invitation["token"]).status_code == 404
    assert carol.rest("POST", "rpc/my_invitations", json={}).json() == []
    db.execute("update auth.users set email_confirmed_at = null where id = %s", [bob.id])
    assert bob.rest("POST", "rpc/my_invitations", json={}).json() == []
    assert _rpc(bob, "accept_invitation", token=invitation["token"]).status_code == 404
    db.execute("update auth.users set email_confirmed_at = now() where id = %s", [bob.id])
    (mine,) = bob.rest("POST", "rpc/my_invitations", json={}).json()
    assert (mine["id"], mine["title"]) == (invitation["id"], "hello there")
    assert _rpc(bob, "accept_invitation", token=mine["id"]).json() == own_id
    assert _rpc(bob, "accept_invitation", token=invitation["token"]).status_code == 404
    assert alice.rows("conversation_invitations?select=id") == []


def test_a_removed_member_does_not_come_back_by_the_link(
    alice: Person, bob: Person, stack: Stack, conversation: tuple[str, str]
) -> None:
    """A removal revokes the links; a member who left by themselves may come back."""
    _, own_id = conversation
    carol = sign_up(stack)
    token = _made(alice, "create_invitation", conversation_id=own_id)["token"]
    path = f"conversation_members?conversation_id=eq.{own_id}&user_id=eq."
    for person in (bob, carol):
        assert _rpc(person, "accept_invitation", token=token).status_code == 200
    assert carol.rest("DELETE", path + carol.id).status_code == 204
    assert _rpc(carol, "accept_invitation", token=token).status_code == 200
    assert alice.rest("DELETE", path + bob.id).status_code == 204
    assert _rpc(bob, "accept_invitation", token=token).status_code == 404


def test_shares_have_a_limit(alice: Person, conversation: tuple[str, str], db: Database) -> None:
    """A share over the limit is 429."""
    _, own_id = conversation
    db.execute("insert into private.settings (name, value) values ('shares_per_person', '1')")
    try:
        found = [_rpc(alice, "create_share", conversation_id=own_id).status_code for _ in range(2)]
        assert found == [200, 429]
    finally:
        db.execute("delete from private.settings where name = 'shares_per_person'")
