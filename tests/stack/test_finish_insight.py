"""`finish_insight` books a turn and stores its answer in one transaction; the booking never depends on the answer."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, connect, eventually, log_row, service
from tests.stack.turns import KEY, Database, begin, entry_of

_WAITING = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and pid = %s"


def _lookup(person: Person, model: str, input_hash: str, **fields: Any) -> dict[str, Any]:
    lookup: dict[str, Any] = {"user_id": person.id}
    lookup |= {"turn_id": str(uuid.uuid4()), "preset": "market-brief", "input_hash": input_hash}
    lookup |= {"is_public": True, "model": model, "context_tokens": 10, "mode": "default", "prompt_version": "1"}
    return lookup | fields


def _lease(stack: Stack, person: Person, model: str) -> dict[str, Any]:
    """The lease on an input that no other test uses, with what `finish_insight` needs besides."""
    lookup = _lookup(person, model, uuid.uuid4().hex)
    found = service(stack, "POST", "rpc/find_insights", json={"lookups": [lookup]}).json()["results"][lookup["turn_id"]]
    assert found["outcome"] == "compute"
    insight = {"cache_key": found["cache_key"], "fence": found["fence"], "holder_id": lookup["turn_id"]}
    insight |= {"user_id": person.id, "is_public": True, "preset": "market-brief", "prompt_version": "1"}
    insight |= {"input_hash": lookup["input_hash"], "output": {"headline": "Prices rise"}}
    return insight | {"model": model, "ttl_seconds": 60}


def _finished(stack: Stack, turn: dict[str, Any], insight: dict[str, Any]) -> dict[str, Any]:
    answer = service(stack, "POST", "rpc/finish_insight", json={"entry": entry_of(turn), "insight": insight})
    assert answer.status_code == 200, answer.text
    booked: dict[str, Any] = answer.json()
    return booked


def test_a_call_may_be_sent_twice(alice: Person, stack: Stack, able: Models, db: Database) -> None:
    """The second call finds the turn booked, and the answer is stored once with the turn's cost."""
    model = able("fixed")
    turn = begin(alice, model, store=False, endpoint="assist.market-brief")
    insight = _lease(stack, alice, model)
    first, second = (_finished(stack, turn, insight) for _ in range(2))
    assert (first["outcome"], second["outcome"]) == ("settled", "duplicate")
    assert first["insight_id"] == second["insight_id"] is not None
    row = db.execute("select turn_id, cost_usd from public.ai_insights where id = %s", [first["insight_id"]]).fetchone()
    assert row == {"turn_id": uuid.UUID(turn["turn_id"]), "cost_usd": Decimal(str(first["cost_usd"]))}


@pytest.mark.parametrize("fault", [{"preset": None}, {"ttl_seconds": "soon"}, {"fence": 10**30}, {"fence": 77}])
def test_a_turn_is_booked_when_its_answer_cannot_be_stored(
    alice: Person, stack: Stack, able: Models, db: Database, fault: dict[str, Any]
) -> None:
    """Whatever is wrong with the answer, or with its lease, the log row has the cost and nothing is reserved."""
    model = able("fixed")
    turn = begin(alice, model, store=False, endpoint="assist.market-brief")
    insight = _lease(stack, alice, model) | fault
    booked = _finished(stack, turn, insight)
    assert (booked["outcome"], booked["insight_id"]) == ("settled", None)
    assert log_row(db, turn["turn_id"])["cost_usd"] > 0
    row = db.execute("select count(*) as n from public.ai_insights where turn_id = %s", [turn["turn_id"]]).fetchone()
    assert row == {"n": 0}


def test_an_unknown_turn_stores_no_answer(alice: Person, stack: Stack, able: Models) -> None:
    """Without a booked turn there is no entry, and the lease stays for its holder to release."""
    model = able("fixed")
    insight = _lease(stack, alice, model)
    turn = {"turn_id": str(uuid.uuid4()), "worker_id": str(uuid.uuid4()), "model": model}
    assert _finished(stack, turn, insight) == {"outcome": "unknown", "insight_id": None}
    lease = {"lease": {name: insight[name] for name in ("cache_key", "holder_id", "fence")}}
    assert service(stack, "POST", "rpc/release_insight_lease", json=lease).json() is True


def test_the_lease_is_locked_before_turn_and_counters(alice: Person, stack: Stack, able: Models, db: Database) -> None:
    """While a lookup holds the lease, a waiting finish has locked nothing that the lookup may need."""
    model = able("fixed")
    turn = begin(alice, model, store=False, endpoint="assist.market-brief", **KEY)
    insight = _lease(stack, alice, model)
    with connect(stack) as lookup, connect(stack) as finish, ThreadPoolExecutor(1) as pool:
        with lookup.transaction():
            lookup.execute(
                "select 1 from private.insight_leases where cache_key = %s for update", [insight["cache_key"]]
            )
            arguments = [json.dumps(entry_of(turn)), json.dumps(insight)]
            booking = pool.submit(finish.execute, "select public.finish_insight(%s, %s)", arguments)
            eventually(lambda: db.execute(_WAITING, [finish.info.backend_pid]).fetchone())
            lookup.execute("select 1 from private.turns where id = %s for update nowait", [turn["turn_id"]])
            lookup.execute("select 1 from public.usage_counter_slots where scope = %s for update nowait", [alice.id])
        booking.result(10)
    assert log_row(db, turn["turn_id"])["cost_usd"] > 0


@pytest.mark.parametrize("is_fallback", [False, True])
def test_a_lookup_that_waits_for_the_end_of_a_flight_gets_its_answer(
    alice: Person, stack: Stack, able: Models, db: Database, *, is_fallback: bool
) -> None:
    """A lookup that arrives while the answer is being stored is a hit, also of a fallback's answer that it awaits."""
    model = able("fixed")
    turn = begin(alice, model, store=False, endpoint="assist.market-brief")
    insight = _lease(stack, alice, model)
    awaited = {"awaited_key": insight["cache_key"], "awaited_fence": insight["fence"]} if is_fallback else {}
    lookup = _lookup(alice, model, insight["input_hash"], **awaited)
    if is_fallback:
        insight["model"] = able("fixed")
    with connect(stack) as holder, connect(stack) as waiting, ThreadPoolExecutor(1) as pool:
        with holder.transaction():
            arguments = [json.dumps(entry_of(turn)), json.dumps(insight)]
            holder.execute("select public.finish_insight(%s, %s)", arguments)
            finding = pool.submit(waiting.execute, "select public.find_insights(%s) as found", [json.dumps([lookup])])
            eventually(lambda: db.execute(_WAITING, [waiting.info.backend_pid]).fetchone())
        row = finding.result(10).fetchone()
    assert row is not None
    result = row["found"]["results"][lookup["turn_id"]]
    assert (result["outcome"], result["is_stale"], result["age"]) == ("hit", False, 0)
