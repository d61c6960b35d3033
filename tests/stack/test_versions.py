"""Versions of answers, copies of conversations, and a list that is each member's own."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import httpx
import pytest

from tests.fakes.providers import Script, Upstream
from tests.stack.conftest import Models
from tests.stack.people import Person, eventually
from tests.stack.regenerations import REGENERATE, ask, body_of, join, prompt_texts, shown_messages, texts_of
from tests.stack.turns import Database, conversation_with, words_left

COUNTING = tuple(Script((f"answer {n}",)) for n in range(1, 9))


@pytest.fixture
def counting(able: Models, upstream: Upstream) -> str:
    """A model whose nth answer is `answer n`."""
    identifier = able("counting")
    upstream.plays[identifier.partition(":")[2]] = COUNTING
    return identifier


def _choose(person: Person, turn_id: str) -> httpx.Response:
    return person.rest("POST", "rpc/choose_version", json={"turn_id": turn_id})


def _versions(person: Person, chat_id: str, place: int = -1) -> list[str]:
    found: list[str] = shown_messages(person, chat_id)[place]["metadata"].get("versions", [])
    return found


@pytest.fixture
def chat_id(alice: Person, counting: str, chat_url: str) -> str:
    """A chat with two questions, of which the first was answered three times; `one` has the answers 1, 3 and 4."""
    made = uuid.uuid4().hex
    for text in ("one", "two"):
        _ask(alice, chat_url, made, counting, text)
    first = shown_messages(alice, made)[1]["id"]
    _ask(alice, chat_url, made, counting, "one", **REGENERATE, messageId=first)
    _ask(alice, chat_url, made, counting, "one", **REGENERATE)
    return made


def _ask(person: Person, url: str, chat_id: str, model: str, text: str, **fields: Any) -> None:
    response = person.ask(body_of(chat_id, model, text, **fields), url)
    assert response.status_code == 200, response.text


def test_a_replaced_answer_is_a_version_that_can_be_chosen(alice: Person, chat_id: str) -> None:
    """The shown answer lists all versions, oldest first; the chosen one comes back with what followed it."""
    assert texts_of(shown_messages(alice, chat_id)) == ["one", "answer 4"]
    first, second, third = _versions(alice, chat_id)
    kept = alice.rows(f"message_versions?turn_id=eq.{first}&role=eq.assistant&select=content")
    assert kept == [{"content": "answer 1"}]
    assert _choose(alice, first).status_code == 204
    assert texts_of(shown_messages(alice, chat_id)) == ["one", "answer 1", "two", "answer 2"]
    assert _versions(alice, chat_id, 1) == [first, second, third]
    assert _choose(alice, second).status_code == 204
    assert texts_of(shown_messages(alice, chat_id)) == ["one", "answer 3"]
    assert _choose(alice, second).status_code == 404


def test_an_edited_question_is_a_version_too(alice: Person, chat_id: str, counting: str, chat_url: str) -> None:
    """The old question returns with its answer, and a version of a later question stays with its branch."""
    first = _versions(alice, chat_id)[0]
    _choose(alice, first)
    two = shown_messages(alice, chat_id)[2]["id"]
    _ask(alice, chat_url, chat_id, counting, "two, please", messageId=two)
    assert texts_of(shown_messages(alice, chat_id))[2:] == ["two, please", "answer 5"]
    old, new = _versions(alice, chat_id)
    assert _choose(alice, _versions(alice, chat_id, 1)[2]).status_code == 204
    assert texts_of(shown_messages(alice, chat_id)) == ["one", "answer 4"]
    assert _choose(alice, old).status_code == 404
    _choose(alice, first)
    assert texts_of(shown_messages(alice, chat_id))[2:] == ["two, please", "answer 5"]
    assert _choose(alice, old).status_code == 204
    assert texts_of(shown_messages(alice, chat_id))[2:] == ["two", "answer 2"]
    assert new in _versions(alice, chat_id)


def test_the_model_reads_the_chosen_version(
    alice: Person, chat_id: str, counting: str, chat_url: str, upstream: Upstream
) -> None:
    """The prompt of the next question has the shown messages and no others."""
    _choose(alice, _versions(alice, chat_id)[0])
    _ask(alice, chat_url, chat_id, counting, "three")
    name = counting.partition(":")[2]
    assert prompt_texts(upstream, name) == ["one", "answer 1", "two", "answer 2", "three"]


def test_versions_are_for_members_and_chosen_by_their_author(
    alice: Person, bob: Person, chat_id: str, db: Database
) -> None:
    """A stranger sees none; a member reads them and does not choose; nothing is chosen while a turn runs."""
    first = _versions(alice, chat_id)[0]
    (conversation,) = alice.rows("llm_conversations?select=id")
    assert bob.rows("message_versions") == []
    assert _choose(bob, first).status_code == 404
    join(alice, bob, conversation["id"])
    assert len(bob.rows(f"message_versions?branch_id=eq.{first}")) == 4
    assert _choose(bob, first).status_code == 404
    running = """update private.turns set state = 'started', lease_until = now() + interval '1 minute' where id in (
                   select turn_id from public.messages where conversation_id = %s)"""
    db.execute(running, [conversation["id"]])
    assert _choose(alice, first).status_code == 409
    db.execute("update private.turns set state = 'settled' where conversation_id = %s", [conversation["id"]])


@pytest.mark.parametrize("how", ["conversation", "data", "account"])
def test_deletions_take_versions_and_copies_with_their_words(
    alice: Person, bob: Person, able: Models, db: Database, chat_url: str, how: str
) -> None:
    """After a deletion of the conversation, the data or the account none of the words are in the database."""
    planted = f"planted{uuid.uuid4().hex}"
    echo, chat_id = able("echo"), uuid.uuid4().hex
    _ask(alice, chat_url, chat_id, echo, planted)
    _ask(alice, chat_url, chat_id, echo, "other", messageId=shown_messages(alice, chat_id)[0]["id"])
    assert "public.message_versions" in words_left(db, planted)
    (conversation,) = alice.rows("llm_conversations?select=id")
    if how == "conversation":
        join(alice, bob, conversation["id"])
        copied = bob.rest("POST", "rpc/fork_conversation", json={"conversation_id": conversation["id"]}).json()
        again = bob.rest("POST", "rpc/fork_conversation", json={"conversation_id": copied}).json()
        bob.whole("his own words", model=able("echo", "client"), conversation_id=again)
        bob.rest("POST", "rpc/create_share", json={"conversation_id": again})
        assert alice.rest("POST", "rpc/delete_conversation", json={"conversation_id": conversation["id"]}).is_success
    else:
        join(alice, bob, conversation["id"])
        _choose(alice, _versions(alice, chat_id)[0])
        copied = bob.rest("POST", "rpc/fork_conversation", json={"conversation_id": conversation["id"]})
        assert len(bob.rows(f"messages?conversation_id=eq.{copied.json()}")) == 2
        if how == "data":
            assert alice.rest("POST", "rpc/delete_my_data", json={}).is_success
        else:
            db.execute("delete from auth.users where id = %s", [alice.id])
    assert words_left(db, planted) == []
    if how == "conversation":
        assert [row["content"].strip() for row in bob.rows("messages?select=content")] == ["his own words"] * 2


def test_a_copy_of_a_deleted_copy_goes_with_the_source(
    alice: Person, bob: Person, able: Models, db: Database, chat_url: str
) -> None:
    """A member who deletes the copy in the middle keeps no words of a conversation that its owner deletes."""
    planted, chat_id = f"planted{uuid.uuid4().hex}", uuid.uuid4().hex
    _ask(alice, chat_url, chat_id, able("echo"), planted)
    (source,) = alice.rows("llm_conversations?select=id")
    join(alice, bob, source["id"])
    copy = bob.rest("POST", "rpc/fork_conversation", json={"conversation_id": source["id"]}).json()
    again = bob.rest("POST", "rpc/fork_conversation", json={"conversation_id": copy}).json()
    assert bob.rest("POST", "rpc/delete_conversation", json={"conversation_id": copy}).is_success
    (row,) = bob.rows(f"llm_conversations?id=eq.{again}&select=forked_from")
    assert row["forked_from"] == source["id"]
    assert alice.rest("POST", "rpc/delete_conversation", json={"conversation_id": source["id"]}).is_success
    assert words_left(db, planted) == []


def test_no_answer_is_copied_or_shared_without_its_question(alice: Person, db: Database) -> None:
    """The oldest of 1000 messages may be an answer, which its author's deletion would not find."""
    source = conversation_with(db, alice, 501)
    message = {"conversation_id": source, "content": "note"}
    assert alice.rest("POST", "messages", json=message).status_code == 201
    copy = alice.rest("POST", "rpc/fork_conversation", json={"conversation_id": source}).json()
    roles = [each["role"] for each in shown_messages(alice, copy)]
    assert (len(roles), roles[0]) == (999, "user")
    share = alice.rest("POST", "rpc/create_share", json={"conversation_id": source}).json()
    shown = alice.rest("POST", "rpc/shared_conversation", json={"token": share["token"]}).json()["messages"]
    assert (len(shown), shown[0]["role"]) == (999, "user")


def test_a_copy_goes_on_by_itself(alice: Person, bob: Person, chat_id: str, counting: str, chat_url: str) -> None:
    """It has the messages up to the turn; the source stays as it is; strangers and unknown turns are 404."""
    _choose(alice, _versions(alice, chat_id)[0])
    (source,) = alice.rows("llm_conversations?select=id,title")
    first = shown_messages(alice, chat_id)[1]["id"]
    body = {"conversation_id": source["id"], "turn_id": first}
    assert bob.rest("POST", "rpc/fork_conversation", json=body).status_code == 404
    assert alice.rest("POST", "rpc/fork_conversation", json=body | {"turn_id": str(uuid.uuid4())}).status_code == 404
    copy = alice.rest("POST", "rpc/fork_conversation", json=body).json()
    assert texts_of(shown_messages(alice, copy)) == ["one", "answer 1"]
    _ask(alice, chat_url, copy, counting, "other")
    assert texts_of(shown_messages(alice, copy)) == ["one", "answer 1", "other", "answer 5"]
    assert texts_of(shown_messages(alice, chat_id)) == ["one", "answer 1", "two", "answer 2"]
    (row,) = alice.rows(f"llm_conversations?id=eq.{copy}&select=title,forked_from")
    assert row == {"title": source["title"], "forked_from": source["id"]}


def test_copies_have_a_limit(alice: Person, chat_id: str, db: Database) -> None:
    """At the limit of the day a further copy is 429."""
    (source,) = alice.rows("llm_conversations?select=id")
    db.execute("insert into private.settings (name, value) values ('forks_per_day', '1')")
    try:
        body = {"conversation_id": source["id"]}
        found = [alice.rest("POST", "rpc/fork_conversation", json=body).status_code for _ in range(2)]
        assert found == [200, 429]
    finally:
        db.execute("delete from private.settings where name = 'forks_per_day'")
    assert chat_id


def test_members_pin_and_archive_for_themselves(alice: Person, bob: Person, chat_id: str) -> None:
    """No member changes the list of another; only the owner renames."""
    (conversation,) = alice.rows("llm_conversations?select=id")
    path = f"conversation_members?conversation_id=eq.{conversation['id']}"
    join(alice, bob, conversation["id"])
    assert bob.rest("PATCH", path, json={"pinned_at": "2026-11-28T10:00:00Z", "archived_at": None}).status_code == 204
    found = {row["user_id"]: row["pinned_at"] is not None for row in alice.rows(f"{path}&select=user_id,pinned_at")}
    assert found == {alice.id: False, bob.id: True}
    rename = {"title": "A better name"}
    for person in (bob, alice):
        person.rest("PATCH", f"llm_conversations?id=eq.{conversation['id']}", json=rename)
        shown = alice.rows("llm_conversations?select=title")[0]["title"]
        assert (shown == "A better name") == (person is alice)
    assert chat_id


def test_a_reload_while_an_answer_is_replaced_shows_the_question(
    alice: Person, able: Models, chat_url: str, chat_id: str, upstream: Upstream
) -> None:
    """The old answer is not shown while the new one is written, so that a follower's words do not join it."""
    stall = able("stall")
    body = body_of(chat_id, stall, "one", **REGENERATE, stream=True, resumable=True)
    reading = threading.Thread(target=lambda: alice.ask(body, chat_url), daemon=True)
    reading.start()
    assert upstream.until_called(stall.partition(":")[2])
    eventually(lambda: texts_of(shown_messages(alice, chat_id)) == ["one"])
    stopped = alice.ask({}, f"{chat_url}/{chat_id}/stop").json()
    reading.join(10)
    assert stopped["stopped"]
    assert texts_of(shown_messages(alice, chat_id)) == ["one", "one two"]
    assert len(_versions(alice, chat_id)) == 4


def test_an_answer_without_versions_has_no_list(alice: Person, able: Models) -> None:
    """Metadata of a plain answer has no `versions`."""
    chat_id = uuid.uuid4().hex
    model = able("echo", "client")
    ask(alice, chat_id, model, "hello")
    assert "versions" not in shown_messages(alice, chat_id)[1]["metadata"]
