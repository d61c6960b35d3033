"""Deletions beside turns that begin, end late or were killed: no deadlock, and no text stays."""

from __future__ import annotations

import json
import secrets
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.stack.admissions import open_admission, until_lock_wait
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, connect, log_row, sign_up
from tests.stack.turns import KEY, Database, begin, die, finish, sweep


def _words_left(db: Database, planted: str) -> list[str]:
    tables = db.execute(
        "select schemaname || '.' || tablename as name from pg_tables where schemaname in ('public', 'private')"
    ).fetchall()
    query = "select 1 from {} as t where t::text like %s limit 1"
    return [row["name"] for row in tables if db.execute(query.format(row["name"]), [f"%{planted}%"]).fetchone()]


def _forget(person: Person) -> httpx.Response:
    return person.rest("POST", "rpc/delete_my_data")


def _delete_person(stack: Stack, person: Person) -> httpx.Response:
    key = stack["SUPABASE_SERVICE_KEY"]
    url = f"{stack['SUPABASE_URL']}/auth/v1/admin/users/{person.id}"
    return httpx.delete(url, headers={"apikey": key, "Authorization": f"Bearer {key}"}, timeout=30)


def _joined(owner: Person, member: Person, turn: dict[str, Any]) -> None:
    row = {"conversation_id": turn["conversation_id"], "user_id": member.id}
    assert owner.rest("POST", "conversation_members", json=row).status_code == 201


def test_a_turn_that_is_being_admitted_while_its_person_is_forgotten_keeps_no_words(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """The deletion waits for chat_begin and sees its row; the late answer is booked without text."""
    name, planted = model("echo"), f"w{secrets.token_hex(8)}"
    old = begin(alice, name)
    finish(alice, old)
    turn = {"turn_id": str(uuid.uuid4()), "worker_id": str(uuid.uuid4()), "endpoint": "chat", "model": name}
    text = {"message": planted, "question": planted, "conversation_id": old["conversation_id"]}
    with open_admission(stack, alice, turn | text) as other, ThreadPoolExecutor(1) as pool:
        forgetting = pool.submit(_forget, alice)
        until_lock_wait(db, "delete_my_data")
        other.execute("commit")
        assert forgetting.result().status_code == 204
    finish(alice, turn, content=planted, response=planted)
    assert log_row(db, turn["turn_id"])["user_id"] is None
    assert _words_left(db, planted) == []


@pytest.mark.parametrize("how", ["words", "account"])
def test_an_owner_who_leaves_and_a_members_late_answer_wait_in_one_order(
    alice: Person, bob: Person, model: Models, db: Database, stack: Stack, how: str
) -> None:
    """The finish locks the conversation before the log row; the deletion waits, and both succeed."""
    name = model("echo")
    ours = begin(alice, name)
    finish(alice, ours)
    _joined(alice, bob, ours)
    turn = begin(bob, name, conversation_id=ours["conversation_id"])
    die(db, turn)
    sweep(stack)
    with connect(stack) as other, ThreadPoolExecutor(2) as pool:
        other.execute("begin")
        other.execute("select from public.usage_hourly where user_id = %s for update", [bob.id])
        finishing = pool.submit(finish, bob, turn)
        until_lock_wait(db, "chat_finish")
        deleting = pool.submit(_forget, alice) if how == "words" else pool.submit(_delete_person, stack, alice)
        until_lock_wait(db, "delete_my_data" if how == "words" else "auth.users")
        other.execute("rollback")
        assert finishing.result()["outcome"] == "settled"
        assert deleting.result().status_code in {200, 204}
    row = log_row(db, turn["turn_id"])
    assert (row["status"], row["conversation_id"]) == ("completed", None)


def test_two_who_are_in_each_others_conversations_are_forgotten_at_once(
    alice: Person, bob: Person, model: Models, db: Database, stack: Stack
) -> None:
    """The deletions run one after the other: both succeed without a deadlock."""
    name = model("echo")
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    before = db.execute(deadlocks).fetchone()
    for _ in range(6):
        hers, his = begin(alice, name), begin(bob, name)
        finish(alice, hers)
        finish(bob, his)
        _joined(alice, bob, hers)
        _joined(bob, alice, his)
        for _ in range(3):
            finish(alice, begin(alice, name, conversation_id=his["conversation_id"]))
            finish(bob, begin(bob, name, conversation_id=hers["conversation_id"]))
        with ThreadPoolExecutor(2) as pool:
            assert [answer.status_code for answer in pool.map(_forget, (alice, bob))] == [204, 204]
    assert db.execute(deadlocks).fetchone() == before
    with connect(stack) as other_sweep, ThreadPoolExecutor(1) as pool:
        other_sweep.execute("begin")
        other_sweep.execute("select pg_advisory_xact_lock(hashtextextended('private.sweep_turns', 0))")
        forgetting = pool.submit(_forget, alice)
        until_lock_wait(db, "delete_my_data")
        other_sweep.execute("rollback")
        assert forgetting.result().status_code == 204


@pytest.mark.parametrize("held", ["public.llm_conversations where id", "auth.users where id"])
def test_a_sweep_leaves_out_rows_under_deletion(
    alice: Person, model: Models, db: Database, stack: Stack, held: str
) -> None:
    """It waits for no deletion, closes the other turns, and closes the skipped ones in the next run."""
    name = model("echo")
    dead, other_dead = begin(alice, name), begin(sign_up(stack), name)
    die(db, dead, other_dead)
    with connect(stack) as other, other.transaction():
        key = dead["conversation_id"] if "llm" in held else alice.id
        other.execute(f"select from {held} = %s for update", [key])
        assert sweep(stack) >= 1
        assert db.execute("select from public.chat_logs where turn_id = %s", [dead["turn_id"]]).fetchall() == []
        assert log_row(db, other_dead["turn_id"])["status"] == "abandoned"
    sweep(stack)
    assert log_row(db, dead["turn_id"])["status"] == "abandoned"


@pytest.mark.parametrize("end", ["settled", "dead"])
def test_what_a_deletion_had_to_skip_is_forgotten_by_the_next_sweep(
    alice: Person, model: Models, db: Database, stack: Stack, end: str
) -> None:
    """A finish, a replay or a sweep may have locked the row during the deletion; the next sweep removes its text."""
    planted = f"w{secrets.token_hex(8)}"
    text = {"question": planted, "message": planted, "request_id": planted, "requested_model": planted}
    turn = begin(alice, model("echo"), metadata={"note": planted}, **text | KEY | {"idempotency_key": planted})
    if end == "settled":
        finish(alice, turn)
    with connect(stack) as other, other.transaction():
        other.execute("select from private.turns where id = %s for update", [turn["turn_id"]])
        assert _delete_person(stack, alice).status_code == 200
    assert _words_left(db, planted) == ["private.turns"]
    if end == "dead":
        die(db, turn)
    sweep(stack)
    assert _words_left(db, planted) == []
    assert log_row(db, turn["turn_id"])["status"] == ("completed" if end == "settled" else "abandoned")


def _own_node(db: Database, person: Person, planted: str) -> tuple[int, str]:
    row = db.execute(
        """insert into public.client_nodes (owner_id, name, base_url, models)
           values (%s, 'home', %s, %s) returning id""",
        [
            person.id,
            f"https://{planted}.example/v1",
            json.dumps([{"id": f"{planted}-7b", "pricing": {"input": 1, "output": 2}}]),
        ],
    ).fetchone()
    assert row is not None
    return row["id"], f"client:{row['id']}:{planted}-7b"


@pytest.mark.parametrize("how", ["words", "account"])
@pytest.mark.parametrize("end", ["before", "after", "late", "never"])
def test_the_address_and_models_of_a_persons_own_node_go_with_them(
    alice: Person, db: Database, stack: Stack, how: str, end: str
) -> None:
    """Whenever the turn ends, only the node's number and the right cost are left."""
    planted = f"w{secrets.token_hex(8)}"
    node, name = _own_node(db, alice, planted)
    turn = begin(alice, name)
    attempt = {"identifier": name, "provider_key": f"client:{node}", "ok": True}
    if end == "before":
        finish(alice, turn, attempts=[attempt])
    forgotten = _forget(alice) if how == "words" else _delete_person(stack, alice)
    assert forgotten.status_code in {200, 204}
    if end in {"late", "never"}:
        die(db, turn)
        sweep(stack)
    if end in {"after", "late"}:
        finish(alice, turn, attempts=[attempt])
    assert _words_left(db, planted) == []
    row = log_row(db, turn["turn_id"])
    assert (row["model_identifier"], row["model"], row["provider"]) == (f"client:{node}", None, "client")
    if end != "never":
        assert float(row["cost_usd"]) == 0.002
        assert row["attempts"][0]["identifier"] == f"client:{node}"
    counted = db.execute("select requests from public.usage_hourly where model_identifier = %s", [f"client:{node}"])
    assert counted.fetchall() == [{"requests": 1}]


def test_names_of_the_projects_own_models_stay_in_the_log(alice: Person, model: Models, db: Database) -> None:
    """They contain no user's text; only the node's address is removed."""
    name = model("echo")
    turn = begin(alice, name, **KEY)
    finish(alice, turn)
    _forget(alice)
    assert log_row(db, turn["turn_id"])["model_identifier"] == name
    routes = db.execute("select routes from private.turns where id = %s", [turn["turn_id"]]).fetchone()
    assert routes is not None
    assert [(route["identifier"], "base_url" in route) for route in routes["routes"]] == [(name, False)]


def test_a_deleted_persons_caps_and_untold_alerts_go(alice: Person, db: Database, stack: Stack) -> None:
    """Alerts of a deleted user are not sent; sent ones stay as they are."""
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, 1)", [alice.id])
    db.execute(
        """insert into public.cost_alerts (scope, period, period_start, threshold, amount, cap, notified_at)
           values (%s, 'day', current_date, 'cost 50%%', 1, 1, now()),
             (%s, 'day', current_date, 'cost 80%%', 1, 1, null)""",
        [alice.id, alice.id],
    )
    assert _delete_person(stack, alice).status_code == 200
    assert db.execute("select from public.usage_limits where scope = %s", [alice.id]).fetchall() == []
    left = db.execute("select threshold from public.cost_alerts where scope = %s", [alice.id]).fetchall()
    assert [row["threshold"] for row in left] == ["cost 50%"]


def test_refresh_deletes_the_data_of_a_user_once(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """A user who continues after the deletion has text again, which a sweep leaves alone."""
    assert _forget(alice).status_code == 204
    turn = begin(alice, model("echo"), question="mine again", **KEY)
    finish(alice, turn)
    sweep(stack)
    assert log_row(db, turn["turn_id"])["question"] == "mine again"
    kept = db.execute("select question from private.turns where id = %s", [turn["turn_id"]]).fetchone()
    assert kept == {"question": "mine again"}
