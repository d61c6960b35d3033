"""rpc/delete_conversation: text is deleted, usage and cost stay, running turns end normally."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.fakes.providers import Upstream
from tests.stack.admissions import open_admission, until_lock_wait
from tests.stack.conftest import Models
from tests.stack.files import file_part
from tests.stack.people import Person, Stack, eventually, frames, log_row, receipt_of, service
from tests.stack.turns import Database, begin, die, finish, reserved_usd, sweep, words_left


def _delete(person: Person, conversation_id: str) -> httpx.Response:
    return person.rest("POST", "rpc/delete_conversation", json={"conversation_id": conversation_id})


def _joined(owner: Person, member: Person, conversation_id: str) -> None:
    row = {"conversation_id": conversation_id, "user_id": member.id}
    assert owner.rest("POST", "conversation_members", json=row).status_code == 201


def test_words_of_everyone_go_and_use_stays(alice: Person, bob: Person, model: Models, db: Database) -> None:
    """Text in messages, log rows, notes, titles and quarantined records is deleted; costs, counts, ratings stay."""
    name, planted = model("echo"), f"w{secrets.token_hex(8)}"
    answer = alice.whole(f"my {planted}", model=name, metadata={"note": planted})
    ours = answer["conversation_id"]
    _joined(alice, bob, ours)
    parts = [file_part(planted.encode(), "text/plain"), {"type": "text", "text": "Look"}]
    shown = {"messages": [{"role": "user", "parts": parts}], "model": name, "conversation_id": ours}
    assert bob.ask(shown).status_code == 200
    theirs = bob.whole(f"and {planted}", model=name, conversation_id=ours)
    assert bob.rest("POST", "messages", json={"conversation_id": ours, "content": planted}).status_code == 201
    for turn, verdict in ((answer, {"rating": 5, "note": planted}), (theirs, {"note": planted})):
        row = {"turn_id": turn["id"]} | verdict
        assert alice.rest("POST", "feedback", json=row).status_code == 201
    key = f"{theirs['id']}.{uuid.uuid4()}.json"
    record = {"object_key": key, "reason": "refused", "record": json.dumps({"words": planted}), "user_id": bob.id}
    record |= {"spooled_at": "2026-11-28T00:00:00Z"}
    assert service(alice.stack, "POST", "rpc/quarantine_spooled", json=record).status_code == 204
    lost = alice.whole("hi", model=planted, conversation_id=ours, max_tokens=1)
    assert log_row(db, lost["id"])["unresolved_model"] == planted
    other = bob.whole("elsewhere", model=name)
    totals = "select sum(cost_usd) as usd, sum(output_tokens) as tokens, count(*) as n from public.chat_logs"
    daily = "select user_id, sum(requests) as n, sum(cost_usd) as usd from public.usage_daily group by 1 order by 1"
    before = [db.execute(query).fetchall() for query in (totals, daily)]

    assert _delete(alice, ours).status_code == 204
    assert words_left(db, planted) == []
    assert [db.execute(query).fetchall() for query in (totals, daily)] == before
    assert alice.rows(f"llm_conversations?id=eq.{ours}") == bob.rows(f"messages?conversation_id=eq.{ours}") == []
    assert log_row(db, theirs["id"])["user_id"] == uuid.UUID(bob.id)
    assert [row["rating"] for row in alice.rows(f"feedback?turn_id=eq.{answer['id']}")] == [5]
    assert bob.rows(f"chat_logs?turn_id=eq.{other['id']}")[0]["response"] == "elsewhere "
    assert service(alice.stack, "POST", "rpc/quarantine_spooled", json=record).status_code == 204
    assert words_left(db, planted) == []


def test_only_the_owner_deletes(alice: Person, bob: Person, model: Models) -> None:
    """Another user gets 404, as for an unknown conversation, a member 403, and nothing is deleted."""
    ours = alice.whole("hello", model=model("echo"))["conversation_id"]
    unknown, strange = _delete(bob, str(uuid.uuid4())), _delete(bob, ours)
    assert (unknown.status_code, unknown.json()) == (strange.status_code, strange.json())
    assert strange.status_code == 404
    _joined(alice, bob, ours)
    assert _delete(bob, ours).status_code == 403
    assert len(alice.rows(f"messages?conversation_id=eq.{ours}")) == 2
    assert _delete(alice, ours).status_code == 204
    assert _delete(alice, ours).status_code == 404


def test_a_stream_of_it_ends_well_and_leaves_no_words(
    alice: Person, model: Models, db: Database, upstream: Upstream
) -> None:
    """The stream runs to its end, its cost is booked, no reservation is left, and no text is stored."""
    planted = f"w{secrets.token_hex(8)}"
    name = model(f"slow~{uuid.uuid4().hex}")
    body = {"message": f"my {planted}", "model": name, "id": planted}
    with httpx.stream("POST", alice.stack["CHAT_URL"], json=body, headers=alice.headers, timeout=30) as response:
        assert upstream.until_called(name.split(":", 2)[2])
        (ours,) = alice.rows(f"llm_conversations?client_id=eq.{planted}&select=id")
        assert _delete(alice, ours["id"]).status_code == 204
        upstream.release()
        receipt = receipt_of(frames(response.read().decode()))
    assert receipt["logged"] is True
    assert words_left(db, planted) == []
    row = log_row(db, receipt["turn_id"])
    assert (row["response"], row["conversation_id"], row["cost_usd"] is None) == (None, None, False)
    assert reserved_usd(db, alice) == 0


@pytest.mark.parametrize("end", ["finishes", "dies", "dies and finishes"])
def test_a_members_turn_in_flight_books_money_and_no_words(
    alice: Person, bob: Person, model: Models, db: Database, stack: Stack, end: str
) -> None:
    """The cost is booked without text if the turn finishes, is swept, or finishes after the sweep."""
    name, planted = model("echo"), f"w{secrets.token_hex(8)}"
    ours = begin(alice, name)
    finish(alice, ours)
    _joined(alice, bob, ours["conversation_id"])
    text = {"message": planted, "question": planted, "metadata": {"note": planted}, "request_id": planted}
    turn = begin(bob, name, conversation_id=ours["conversation_id"], **text)
    assert _delete(alice, ours["conversation_id"]).status_code == 204
    if "dies" in end:
        die(db, turn)
        sweep(stack)
    if "finishes" in end:
        assert finish(bob, turn, content=planted, response=planted)["outcome"] == "settled"
    assert words_left(db, planted) == []
    row = log_row(db, turn["turn_id"])
    assert (row["status"], row["conversation_id"]) == ("abandoned" if end == "dies" else "completed", None)
    if end != "dies":
        assert float(row["cost_usd"]) == 0.002


def test_a_turn_that_is_being_admitted_is_not_overlooked(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """The deletion waits for chat_begin; the late answer is booked without text."""
    name, planted = model("echo"), f"w{secrets.token_hex(8)}"
    ours = begin(alice, name)
    finish(alice, ours)
    turn = {"turn_id": str(uuid.uuid4()), "worker_id": str(uuid.uuid4()), "endpoint": "chat", "model": name}
    text = {"message": planted, "question": planted, "conversation_id": ours["conversation_id"]}
    with open_admission(stack, alice, turn | text) as other, ThreadPoolExecutor(1) as pool:
        deleting = pool.submit(_delete, alice, ours["conversation_id"])
        until_lock_wait(db, "delete_conversation")
        other.execute("commit")
        assert deleting.result().status_code == 204
    finish(alice, turn, content=planted, response=planted)
    assert words_left(db, planted) == []


def _leave(person: Person) -> httpx.Response:
    return person.rest("POST", "rpc/delete_my_data")


def _remove(person: Person) -> httpx.Response:
    key = person.stack["SUPABASE_SERVICE_KEY"]
    url = f"{person.stack['SUPABASE_URL']}/auth/v1/admin/users/{person.id}"
    return httpx.delete(url, headers={"apikey": key, "Authorization": f"Bearer {key}"}, timeout=30)


@pytest.mark.parametrize("leaving", [_leave, _remove], ids=["words", "account"])
def test_deletions_and_late_answers_meet_without_a_deadlock(
    alice: Person, bob: Person, model: Models, db: Database, leaving: Callable[[Person], httpx.Response]
) -> None:
    """A deletion, a leaving member and two finishes all succeed at once, and no text is stored."""
    name, planted = model("echo"), f"w{secrets.token_hex(8)}"
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    before = db.execute(deadlocks).fetchone()
    ours = begin(alice, name)
    finish(alice, ours)
    _joined(alice, bob, ours["conversation_id"])
    text = {"conversation_id": ours["conversation_id"], "message": planted, "question": planted, "store": False}
    turns = [(who, begin(who, name, log_words=True, **text)) for who in (alice, bob) for _ in range(8)]
    with ThreadPoolExecutor(len(turns) + 2) as pool:
        finishing = [pool.submit(finish, *each, content=planted, response=planted) for each in turns]
        ending = [pool.submit(_delete, alice, ours["conversation_id"]), pool.submit(leaving, bob)]
        assert {each.result()["outcome"] for each in finishing} == {"settled"}
        assert {each.result().status_code for each in ending} <= {200, 204}
    assert eventually(lambda: words_left(db, planted) == [])
    assert db.execute(deadlocks).fetchone() == before
