"""Calls of the ledger by a user, with values that no function of Parley sends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, log_row
from tests.stack.turns import Database, asked, begin, finish, used

pytestmark = pytest.mark.usefixtures("each_way")


@pytest.mark.parametrize("value", [-(10**9), 3 * 10**9, 10**30])
def test_no_number_is_too_odd_to_be_booked(alice: Person, model: Models, db: Database, value: int) -> None:
    """Counts are clamped to the ledger's ranges, and no count gives a negative cost."""
    turn = begin(alice, model("echo"))
    counts = {"usage": used(10, 5, cached_tokens=value, reasoning_tokens=value), "duration_ms": value, "ttft_ms": value}
    counts |= {"agent_handoffs": value, "domain_confidence": value, "domain_classification": "general"}
    assert finish(alice, turn, **counts)["outcome"] == "settled"
    row = log_row(db, turn["turn_id"])
    most, longest = (2**31 - 1, 86_400_000) if value > 0 else (0, 0)
    assert (row["cached_tokens"], row["duration_ms"], row["ttft_ms"]) == (min(10, most), longest, longest)
    assert Decimal("0.000015") <= row["cost_usd"] <= Decimal("0.00002")
    turn = begin(alice, model("echo"))
    attempt = {"identifier": turn["model"], "provider_key": "x", "ok": True, "usage": used(value, value)}
    finish(alice, turn, usage=used(value, value), attempts=[attempt])
    row = log_row(db, turn["turn_id"])
    assert (row["input_tokens"], row["output_tokens"]) == (most, most)
    assert row["cost_usd"] == Decimal(most) * 3 / 10**6
    db.execute("delete from public.chat_logs where turn_id = %s", [turn["turn_id"]])
    db.execute(
        "update public.usage_counter_slots set spent_usd = greatest(spent_usd - %s, 0) "
        "where scope = 'global' and slot = private.global_slot(%s)",
        [row["cost_usd"], turn["turn_id"]],
    )


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"metadata": [1]}, 422),
        ({"metadata": "x"}, 422),
        ({"metadata": {"a": "x" * 17000}}, 422),
        ({"metadata": None}, 200),
        ({"idempotency_key": ""}, 422),
        ({"idempotency_key": "x" * 256}, 422),
        ({"idempotency_key": "x" * 255}, 200),
        ({"agent": "I am Bob, of Berlin", "endpoint": "my words"}, 200),
        ({"agent": "technical", "endpoint": "chat.completions"}, 200),
    ],
)
def test_what_a_direct_call_names_is_a_name(
    alice: Person, model: Models, db: Database, fields: dict[str, Any], status: int
) -> None:
    """Free text is not accepted as a name, because usage_daily keeps names; metadata and keys are small."""
    answer = asked(alice, model("echo"), **fields)
    assert answer.status_code == status, answer.text
    if status == 200:
        row = db.execute(
            "select agent_type, endpoint, metadata from private.turns where id = %s",
            [answer.json()["turn_id"]],
        ).fetchone()
        is_named = fields.get("agent") == "technical"
        received: dict[str, Any] = {"agent_type": "technical" if is_named else None, "metadata": {}}
        assert row == received | {"endpoint": "chat.completions" if is_named else "chat"}


def test_no_user_reserves_money_in_more_turns_than_allowed(
    alice: Person, bob: Person, model: Models, db: Database
) -> None:
    """Of forty concurrent turns exactly the allowed number run; one that ends makes room; users are separate."""
    name = model("echo")
    db.execute("insert into private.settings values ('open_turns_per_person', '5')")
    try:
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: asked(alice, name, worker_id=alice.id), range(40)))
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 35
        refused = alice.ask({"message": "hi", "model": name, "stream": False})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_turns")
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        assert asked(bob, name).status_code == 200
        admitted = next(answer.json() for answer in answers if answer.status_code == 200)
        finish(alice, admitted | {"worker_id": alice.id, "model": name})
        assert asked(alice, name).status_code == 200
        assert asked(alice, name).status_code == 429
    finally:
        db.execute("delete from private.settings where name = 'open_turns_per_person'")


def test_a_caller_holds_money_no_longer_than_a_turn_may_last(alice: Person, model: Models, db: Database) -> None:
    """A direct call cannot set a longer lease than the operator's setting."""
    seconds = "select extract(epoch from lease_until - started_at)::integer as n from private.turns where id = %s"

    def lease() -> int:
        turn = begin(alice, model("echo"), lease_seconds=900)
        row = db.execute(seconds, [turn["turn_id"]]).fetchone()
        assert row is not None
        n: int = row["n"]
        return n

    assert lease() == 360
    db.execute("insert into private.settings values ('lease_seconds', '600')")
    try:
        assert lease() == 600
    finally:
        db.execute("delete from private.settings where name = 'lease_seconds'")
