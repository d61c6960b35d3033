"""One turn of a conversation at a time: which requests wait, are refused or continue."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.database_errors import refusal
from shared.errors import TurnInProgress
from tests.fakes.providers import Upstream
from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, connect, eventually, service
from tests.stack.turns import Database, asked, begin, conversation_with, die, finish

pytestmark = pytest.mark.usefixtures("each_way")


def test_of_twenty_turns_at_once_one_is_begun(alice: Person, db: Database, model: Models, stack: Stack) -> None:
    """The others get Retry-After and leave no message, reservation or request count."""
    name = model("echo")
    first = begin(alice, name)
    finish(alice, first)
    conversation = first["conversation_id"]
    waiting = """select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%%chat_begin%%'
                 having count(*) >= 3"""
    with connect(stack) as other, ThreadPoolExecutor(20) as pool:
        # What is locked last is held, so that all of them have looked before the first has ended.
        other.execute("begin")
        other.execute("select from public.usage_counter_slots where scope = %s for update", [alice.id])
        asking = [pool.submit(asked, alice, name, conversation_id=conversation) for _ in range(20)]
        eventually(lambda: db.execute(waiting).fetchone())
        other.execute("commit")
        answers = [each.result() for each in asking]
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
    received = refusal(409, next(answer for answer in answers if answer.status_code == 409).json())
    assert isinstance(received, TurnInProgress)
    assert (received.code, received.metadata["conversation_id"]) == ("turn_in_progress", conversation)
    assert 1 <= (received.retry_after_seconds or 0) <= 5
    assert len(alice.rows(f"messages?conversation_id=eq.{conversation}")) == 3
    assert alice.rows("usage_counters?period=eq.day")[0]["requests"] == 2
    open_turns = service(stack, "POST", "rpc/open_turns", json={}).json()
    assert len([turn for turn in open_turns if turn["conversation_id"] == conversation]) == 1


def test_twins_of_one_chat_are_one_turn(alice: Person, model: Models) -> None:
    """Two concurrent first messages of a new chat begin one conversation and one turn."""
    name = model("echo")
    with ThreadPoolExecutor(8) as pool:
        statuses = [a.status_code for a in pool.map(lambda _: asked(alice, name, client_id="new chat"), range(8))]
    assert sorted(statuses) == [200] + [409] * 7
    assert len(alice.rows("llm_conversations")) == 1


def test_a_second_turn_is_409_with_when_to_come_back(alice: Person, model: Models, upstream: Upstream) -> None:
    """During a turn a second turn is 409, but users can insert messages; afterwards a turn can begin."""
    name = named("slow", "client")
    slow, echo = model(name), model("echo")
    body = {"message": "first", "model": slow, "stream": False, "id": "one chat"}
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(alice.ask, body)
        assert upstream.until_called(name)
        (conversation,) = alice.rows("llm_conversations")
        second = alice.ask({"message": "second", "model": echo, "conversation_id": conversation["id"]})
        assert (second.status_code, second.json()["error"]["code"]) == (409, "turn_in_progress")
        assert 1 <= int(second.headers["retry-after"]) <= 5
        post = {"conversation_id": conversation["id"], "content": "meanwhile"}
        assert alice.rest("POST", "messages", json=post).status_code == 201
        dry = {"message": "x", "model": echo, "conversation_id": conversation["id"]}
        assert alice.ask(dry | {"dry_run": True}).status_code == 200
        assert alice.ask(dry | {"store": False, "stream": False}).status_code == 200
        upstream.release()
        assert asking.result().status_code == 200
    assert alice.whole("second", model=echo, conversation_id=conversation["id"])["message"]["content"] == "second "


def test_what_people_say_does_not_wait_for_a_turn_that_begins(alice: Person, db: Database, stack: Stack) -> None:
    """A message is stored while the conversation's row is locked, and it updates last_activity."""
    conversation = conversation_with(db, alice, 1)
    post = {"conversation_id": conversation, "content": "quick"}
    with connect(stack) as other:
        other.execute("begin")
        other.execute("update public.llm_conversations set title = 'held' where id = %s", [conversation])
        assert alice.rest("POST", "messages", json=post).status_code == 201
        other.execute("rollback")
    db.execute("update public.llm_conversations set last_activity = '2026-01-01' where id = %s", [conversation])
    assert alice.rest("POST", "messages", json=post).status_code == 201
    assert alice.rows(f"llm_conversations?id=eq.{conversation}")[0]["last_activity"] > "2026-01-02"


def test_a_turn_that_died_does_not_hold_its_conversation(alice: Person, db: Database, model: Models) -> None:
    """After its lease another turn begins without a sweep; later a retry takes over the first turn."""
    name, key = model("echo"), {"idempotency_key": "k", "body_hash": "h"}
    dead = begin(alice, name, **key)
    conversation = dead["conversation_id"]
    assert asked(alice, name, conversation_id=conversation).status_code == 409
    die(db, dead)
    second = begin(alice, name, conversation_id=conversation)
    assert asked(alice, name, **key).status_code == 409
    finish(alice, second)
    taken = begin(alice, name, **key)
    assert (taken["outcome"], taken["turn_id"], taken["conversation_id"]) == (
        "new",
        dead["turn_id"],
        conversation,
    )
    assert finish(alice, taken)["outcome"] == "settled"


@pytest.mark.parametrize("store", [True, False])
def test_a_turn_that_is_not_stored_takes_no_conversation(alice: Person, model: Models, store: bool) -> None:
    """It does not wait for a stored turn, and a stored turn does not wait for it."""
    name = model("echo")
    conversation = begin(alice, name, client_id="c", store=True)
    finish(alice, conversation)
    named_so = {"conversation_id": conversation["conversation_id"]}
    begin(alice, name, store=store, **named_so)
    assert asked(alice, name, store=not store, **named_so).status_code == 200


def test_a_deleted_user_blocks_no_other_user(alice: Person, bob: Person, model: Models) -> None:
    """The running turn of a removed member does not block the conversation."""
    identifier = model("echo")
    conversation = alice.whole("hi", model=identifier)["conversation_id"]
    member = {"conversation_id": conversation, "user_id": bob.id}
    assert alice.rest("POST", "conversation_members", json=member).status_code == 201
    assert asked(bob, identifier, conversation_id=conversation, lease_seconds=900).status_code == 200
    assert asked(alice, identifier, conversation_id=conversation).status_code == 409
    assert alice.rest("DELETE", f"conversation_members?user_id=eq.{bob.id}").status_code == 204
    assert asked(alice, identifier, conversation_id=conversation).status_code == 200
