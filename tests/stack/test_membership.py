"""Who joins a conversation, and what a member may write there."""

from __future__ import annotations

import uuid

from tests.stack.cast import Cast
from tests.stack.conftest import Models
from tests.stack.people import sign_up


def test_no_user_joins_by_inserting_a_row(cast: Cast) -> None:
    """A user cannot add themselves to a conversation, nor write into it without being a member."""
    row = cast.filled({"conversation_id": "{conversation}", "user_id": "{stranger}"})
    other = sign_up(cast.stack)
    assert other.rest("POST", "conversation_members", json=row | {"user_id": other.id}).status_code == 403
    post = {"conversation_id": row["conversation_id"], "content": "hello"}
    assert other.rest("POST", "messages", json=post).status_code == 403


def test_a_member_takes_part_until_removed(cast: Cast, model: Models) -> None:
    """A member reads, writes and asks; after removal the next request is refused."""
    friend, identifier = sign_up(cast.stack), model("echo")
    mine = cast.owner.whole("welcome", model=identifier)["conversation_id"]
    assert friend.ask({"message": "x", "conversation_id": mine}).status_code == 404
    member = {"conversation_id": mine, "user_id": friend.id}
    assert cast.owner.rest("POST", "conversation_members", json=member).status_code == 201
    assert len(friend.rows(f"messages?conversation_id=eq.{mine}")) == 2
    assert friend.rest("POST", "messages", json={"conversation_id": mine, "content": "hi all"}).status_code == 201
    assert friend.whole("and me", model=identifier, conversation_id=mine)["conversation_id"] == mine
    assert cast.owner.rows(f"chat_logs?conversation_id=eq.{mine}&user_id=eq.{friend.id}") == []
    assert friend.rest("PATCH", f"llm_conversations?id=eq.{mine}", json={"title": "x"}).status_code == 204
    assert cast.owner.rows(f"llm_conversations?id=eq.{mine}")[0]["title"] == "welcome"
    removal = f"conversation_members?conversation_id=eq.{mine}&user_id=eq.{friend.id}"
    assert cast.owner.rest("DELETE", removal).status_code == 204
    assert friend.rows(f"messages?conversation_id=eq.{mine}") == []
    assert friend.ask({"message": "x", "conversation_id": mine}).status_code == 404


def test_no_one_forges_the_assistants_words_or_anothers(cast: Cast) -> None:
    """A member inserts messages only in the own name and with the role user."""
    conversation = cast.names["conversation"]
    for forged in (
        {"role": "assistant"},
        {"user_id": cast.stranger.id},
        {"model_used": "x"},
        {"turn_id": str(uuid.uuid4())},
    ):
        row = {"conversation_id": conversation, "content": "x"} | forged
        assert cast.owner.rest("POST", "messages", json=row).status_code == 403
