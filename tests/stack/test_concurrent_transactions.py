"""Two concurrent transactions: which one waits, and what each writes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, connect, eventually, service
from tests.stack.turns import Database, begin, die, finish

_WAITING = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like %s and pid <> pg_backend_pid()"


@pytest.fixture
def provider(db: Database) -> Iterator[str]:
    """A provider of this test's own with one model, and a refresh that holds the lease."""
    name = f"acme{uuid.uuid4().hex[:8]}"
    lease = db.execute("select job, holder_id, fence from private.job_leases where job = 'refresh'").fetchone()
    db.execute("delete from private.job_leases where job = 'refresh'")
    db.execute("insert into private.job_leases values ('refresh', gen_random_uuid(), now() + interval '1 minute', 7)")
    db.execute("select public.merge_models(%s)", [_merge(name)])
    yield name
    db.execute("delete from public.llm_models where provider = %s", [name])
    db.execute("delete from private.job_leases where job = 'refresh'")
    if lease is not None:
        db.execute(
            "insert into private.job_leases (job, holder_id, lease_until, fence) "
            "values (%(job)s, %(holder_id)s, '-infinity', %(fence)s)",
            lease,
        )


def _merge(provider: str, **changes: Any) -> str:
    model = {"upstream_id": "one", "model_key": f"{provider}-one", "model_name": "One", "is_addable": True}
    model |= {"capabilities": {"context_window": 10}, "pricing": {"input": 1, "output": 2}, "retires_on": None}
    merge = {"provider": provider, "node_id": None, "listed": [model | changes], "fence": 7, "usable": [provider]}
    return json.dumps(merge)


def test_a_merge_waits_for_an_open_edit_and_keeps_it(stack: Stack, db: Database, provider: str) -> None:
    """A price that an admin edits while a merge starts is kept."""
    with connect(stack) as admin, connect(stack) as refresh, ThreadPoolExecutor(1) as pool:
        with admin.transaction():
            admin.execute(
                """update public.llm_models set pricing = '{"input": 9, "output": 9}' where provider = %s""", [provider]
            )
            price = {"input": 5, "output": 5}
            merging = pool.submit(refresh.execute, "select public.merge_models(%s)", [_merge(provider, pricing=price)])
            eventually(lambda: db.execute(_WAITING, ["%merge_models%"]).fetchone())
        merging.result(10)
    row = db.execute("select pricing from public.llm_models where provider = %s", [provider]).fetchone()
    assert row == {"pricing": {"input": 9, "output": 9}}


def test_a_lease_is_not_taken_over_during_a_merge(stack: Stack, db: Database, provider: str) -> None:
    """While a merge runs past the end of its lease, another run's `take_lease` waits for its commit."""
    with connect(stack) as refresh, connect(stack) as other, ThreadPoolExecutor(1) as pool:
        with refresh.transaction():
            refresh.execute("select public.merge_models(%s)", [_merge(provider)])
            ending = pool.submit(
                other.execute,
                "update private.job_leases set lease_until = now() - interval '1 s' where job = 'refresh'",
            )
            eventually(lambda: db.execute(_WAITING, ["%job_leases%"]).fetchone())
            assert not ending.done()
        ending.result(10)
        fence = other.execute("select public.take_lease('refresh', gen_random_uuid(), 1) as fence").fetchone()
    assert fence == {"fence": 8}


def test_a_sweep_passes_over_a_turn_that_is_being_finished(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """A sweep skips a turn that a finish has locked, and closes the others without waiting."""
    name = model("echo")
    held, free = begin(alice, name), begin(alice, name)
    die(db, held, free)
    with connect(stack) as finishing, finishing.transaction():
        finishing.execute("select from private.turns where id = %s for update", [held["turn_id"]])
        answer = service(stack, "POST", "rpc/sweep_turns", json={})
        assert (answer.status_code, answer.json() >= 1) == (200, True)
        states = db.execute(
            "select id::text, state from private.turns where id = any(%s::uuid[])", [[held["turn_id"], free["turn_id"]]]
        ).fetchall()
    found = {row["id"]: row["state"] for row in states}
    assert (found[held["turn_id"]], found[free["turn_id"]] == "started") == ("started", False)
    assert finish(alice, held)["outcome"] == "settled"


def test_quarantined_records_go_with_delete_my_data(alice: Person, db: Database, stack: Stack) -> None:
    """A user who asks for deletion leaves no quarantined record, and another user's record stays."""
    keys = {person: f"{uuid.uuid4()}.json" for person in (alice.id, None)}
    for person, key in keys.items():
        record = {"object_key": key, "reason": "unknown_turn", "record": "words", "user_id": person}
        assert service(stack, "POST", "rpc/quarantine_spooled", json=record).status_code == 204
    assert alice.rest("POST", "rpc/delete_my_data", json={}).status_code == 204
    left = db.execute(
        "delete from private.spool_quarantine where object_key = any(%s) returning object_key", [list(keys.values())]
    ).fetchall()
    assert [row["object_key"] for row in left] == [keys[None]]


def test_a_turn_of_a_forgotten_user_calls_no_further_model(alice: Person, model: Models, stack: Stack) -> None:
    """After `delete_my_data` a running turn cannot reserve money for another call."""
    turn = begin(alice, model("echo"))
    assert alice.rest("POST", "rpc/delete_my_data", json={}).status_code == 204
    extension = {"turn_id": turn["turn_id"], "worker_id": turn["worker_id"], "input_tokens": 10}
    answer = service(stack, "POST", "rpc/chat_extend", json={"extension": extension})
    assert answer.json() == {"outcome": "closed"}


def test_feedback_cannot_move_to_a_turn_that_its_author_cannot_see(
    alice: Person, bob: Person, db: psycopg.Connection[dict[str, Any]]
) -> None:
    """A changed `turn_id` gets the same refusal for a stranger's turn as for one that does not exist."""
    own, strange = alice.whole("hi")["id"], bob.whole("hi")["id"]
    assert alice.rest("POST", "feedback", json={"turn_id": own, "rating": 2}).status_code == 201
    refused = [
        alice.rest("PATCH", f"feedback?turn_id=eq.{own}", json={"turn_id": other})
        for other in (strange, str(uuid.uuid4()))
    ]
    assert {answer.status_code for answer in refused} <= {401, 403, 404, 409}
    assert refused[0].json() == refused[1].json()
    rated = db.execute("select turn_id::text from public.feedback where user_id = %s", [alice.id]).fetchall()
    assert rated == [{"turn_id": own}]
