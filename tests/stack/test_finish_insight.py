"""`finish_insight` books a turn and stores its answer in one transaction; the booking never depends on the answer."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from psycopg.errors import LockNotAvailable

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
    assert _finished(stack, turn, insight) == {"outcome": "unknown", "insight_id": None, "insight_error": None}
    lease = {"lease": {name: insight[name] for name in ("cache_key", "holder_id", "fence")}}
    assert service(stack, "POST", "rpc/release_insight_lease", json=lease).json() is True


def test_the_lease_is_locked_before_the_turn(alice: Person, stack: Stack, able: Models, db: Database) -> None:
    """A finish that waits for its turn has the lease, so the order of locks is that of lookups."""
    model = able("fixed")
    turn = begin(alice, model, store=False, endpoint="assist.market-brief", **KEY)
    insight = _lease(stack, alice, model)
    with connect(stack) as other, connect(stack) as finish, ThreadPoolExecutor(1) as pool:
        with other.transaction():
            other.execute("select 1 from private.turns where id = %s for update", [turn["turn_id"]])
            arguments = [json.dumps(entry_of(turn)), json.dumps(insight)]
            booking = pool.submit(finish.execute, "select public.finish_insight(%s, %s)", arguments)
            eventually(lambda: db.execute(_WAITING, [finish.info.backend_pid]).fetchone())
            lease = "select 1 from private.insight_leases where cache_key = %s for update nowait"
            with pytest.raises(LockNotAvailable):
                db.execute(lease, [insight["cache_key"]])
        booking.result(10)
    assert log_row(db, turn["turn_id"])["cost_usd"] > 0


@pytest.mark.parametrize("is_fallback", [False, True])
def test_a_lookup_does_not_wait_for_the_end_of_a_turn(
    alice: Person, stack: Stack, able: Models, *, is_fallback: bool
) -> None:
    """While an answer is being stored, a lookup is busy at once; then it is a hit, also of an awaited fallback's."""
    model = able("fixed")
    turn = begin(alice, model, store=False, endpoint="assist.market-brief")
    insight = _lease(stack, alice, model)
    awaited = {"awaited_key": insight["cache_key"], "awaited_fence": insight["fence"]}
    if is_fallback:
        insight["model"] = able("fixed")

    def found() -> dict[str, Any]:
        lookup = _lookup(alice, model, insight["input_hash"], **awaited)
        answer = service(stack, "POST", "rpc/find_insights", json={"lookups": [lookup]}).json()
        result: dict[str, Any] = answer["results"][lookup["turn_id"]]
        return result

    with connect(stack) as holder, holder.transaction():
        holder.execute("select public.finish_insight(%s, %s)", [json.dumps(entry_of(turn)), json.dumps(insight)])
        busy = found()
    assert (busy["outcome"], busy["cache_key"], busy["fence"]) == ("busy", insight["cache_key"], insight["fence"])
    hit = found()
    assert (hit["outcome"], hit["is_stale"], hit["age"]) == ("hit", False, 0)


@pytest.mark.parametrize("held", ["private.insight_leases", "public.ai_insights"])
def test_a_locked_lease_or_entry_delays_no_booking(
    alice: Person, stack: Stack, able: Models, db: Database, held: str
) -> None:
    """The turn is booked without waiting for it; the key's answer is kept, the entry is not."""
    model = able("fixed")
    insight = _lease(stack, alice, model)
    _finished(stack, begin(alice, model, store=False, endpoint="assist.market-brief"), insight)
    turn = begin(alice, model, store=False, endpoint="assist.market-brief", **KEY)
    with connect(stack) as other, other.transaction():
        other.execute(f"select from {held} where cache_key = %s for update", [insight["cache_key"]])
        booked = _finished(stack, turn, insight)
    assert (booked["outcome"], booked["insight_id"], booked["insight_error"]) == ("settled", None, "55P03")
    assert log_row(db, turn["turn_id"])["cost_usd"] > 0
    kept = db.execute("select output from private.insight_replays where turn_id = %s", [turn["turn_id"]]).fetchall()
    assert kept == [{"output": insight["output"]}]
