"""The ledger's two functions, called directly, concurrently and repeatedly."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.stack.conftest import Models
from tests.stack.people import Person, connect, eventually, log_row
from tests.stack.turns import KEY, Database, asked, begin, die, finish, finish_with_retry, used

pytestmark = pytest.mark.usefixtures("each_way")


def _counter(db: Database, scope: str) -> dict[str, Any]:
    row = db.execute(
        "select * from public.usage_counters where scope = %s and period = 'day' order by period_start desc", [scope]
    ).fetchone()
    assert row is not None
    return row


def test_exactly_as_many_are_admitted_at_once_as_the_cap_allows(alice: Person, model: Models, db: Database) -> None:
    """Of forty concurrent turns with ten requests left, ten are admitted, and thirty are 429."""
    db.execute("insert into public.usage_limits (scope, daily_requests) values (%s, 10)", [alice.id])
    name = model("echo")
    with ThreadPoolExecutor(20) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: asked(alice, name), range(40))]
    assert sorted(statuses) == [200] * 10 + [429] * 30
    assert _counter(db, alice.id)["requests"] == 10


def test_a_turn_is_booked_once_however_often_it_is_finished(alice: Person, model: Models, db: Database) -> None:
    """Ten finishes at once settle one turn: one row, one message that each answer names, its cost once."""
    turn = begin(alice, model("echo"))
    assert _counter(db, alice.id)["reserved_usd"] > 0
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: finish(alice, turn), range(10)))
    assert sorted(answer["outcome"] for answer in answers) == ["duplicate"] * 9 + ["settled"]
    assert {answer["message_id"] for answer in answers} == {turn["turn_id"]}
    counter = _counter(db, alice.id)
    assert (counter["spent_usd"], counter["reserved_usd"]) == (Decimal("0.002"), 0)
    assert len(alice.rows("chat_logs")) == 1
    assert len(alice.rows("messages?role=eq.assistant")) == 1


def test_an_attempt_that_lost_its_lease_books_its_cost_and_touches_nothing_else(
    alice: Person, model: Models, db: Database
) -> None:
    """The cost is added once to row and counters; answer and status stay."""
    key = KEY
    first = begin(alice, model("echo"), **key)
    die(db, first)
    second = begin(alice, first["routes"][0]["identifier"], **key)
    assert second["turn_id"] == first["turn_id"]
    assert _counter(db, alice.id)["reserved_usd"] == Decimal(str(second["reserve_usd"]))
    assert _counter(db, alice.id)["requests"] == 1
    assert finish(alice, second)["outcome"] == "settled"
    outcomes = [finish(alice, first, content="late")["outcome"] for _ in range(2)]
    assert outcomes == ["stale", "duplicate"]
    (row,) = alice.rows("chat_logs")
    assert (row["response"], row["cost_usd"]) == ("hello", 0.004)
    assert _counter(db, alice.id)["spent_usd"] == Decimal("0.004")
    assert _counter(db, alice.id)["reserved_usd"] == 0


def test_a_takeover_is_logged_in_its_own_words(alice: Person, model: Models, db: Database) -> None:
    """A retry after a killed instance is logged with its own question, not with the earlier one."""
    key = KEY
    first = begin(alice, model("echo"), question="forged", endpoint="refresh", lease_seconds=1, **key)
    die(db, first)
    second = begin(alice, first["routes"][0]["identifier"], question="honest", message="honest", **key)
    finish(alice, second)
    (row,) = alice.rows("chat_logs")
    assert (row["question"], row["endpoint"]) == ("honest", "chat")
    assert [m["content"] for m in alice.rows("messages?order=created_at")] == ["honest", "hello"]


def test_a_conversation_deleted_under_a_finish_costs_neither_the_row_nor_the_deletion(
    alice: Person, model: Models, db: Database
) -> None:
    """A finish waits for the deletion, and the turn is booked without the conversation."""
    turn = begin(alice, model("echo"))
    with connect(alice.stack) as other, ThreadPoolExecutor(1) as pool:
        other.execute("begin")
        other.execute("select 1 from public.llm_conversations where id = %s for update", [turn["conversation_id"]])
        finishing = pool.submit(finish_with_retry, alice, turn)
        waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%%chat_finish%%'"
        eventually(lambda: db.execute(waiting).fetchone())
        other.execute("delete from public.llm_conversations where id = %s", [turn["conversation_id"]])
        other.execute("commit")
        assert finishing.result(20)["outcome"] == "settled"
    (row,) = alice.rows("chat_logs")
    assert (row["conversation_id"], row["status"]) == (None, "completed")


def test_one_key_at_once_is_one_turn(alice: Person, model: Models) -> None:
    """Of twenty concurrent requests with one idempotency key one is a new turn; the others are in progress."""
    name, key = model("echo"), {"idempotency_key": "same", "body_hash": "h"}
    with ThreadPoolExecutor(20) as pool:
        outcomes = sorted(turn["outcome"] for turn in pool.map(lambda _: begin(alice, name, **key), range(20)))
    assert outcomes == ["in_progress"] * 19 + ["new"]


def test_logs_and_counters_agree_to_the_last_digit(alice: Person, model: Models, db: Database) -> None:
    """After completed, failed, cancelled and repeated concurrent turns the rows add up to the counters."""
    name = model("echo", pricing='{"input": 0.1, "output": 0.4, "cached_input": 0.01}')

    def turn(number: int) -> None:
        begun = begin(alice, name)
        status = ("completed", "failed", "cancelled", "partial")[number % 4]
        used = {
            "input_tokens": 7 * number,
            "output_tokens": 0 if status == "failed" else 3 * number,
            "source": "provider",
        }
        for _ in range(1 + number % 2):
            finish(alice, begun, status=status, usage=used)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(turn, range(48)))
    row = db.execute(
        "select sum(cost_usd) as cost, count(*) as n from public.chat_logs where user_id = %s", [alice.id]
    ).fetchone()
    counter = _counter(db, alice.id)
    assert row is not None
    assert row["cost"] == counter["spent_usd"]
    assert (row["n"], counter["reserved_usd"]) == (48, 0)


def test_a_reservation_cannot_be_talked_down(alice: Person, model: Models) -> None:
    """Invalid numbers in a direct call never give a negative reservation."""
    name = model("echo")
    for fields in ({"max_tokens": -5}, {"prompt_tokens": -1_000_000}, {"max_tokens": 10**12}):
        assert begin(alice, name, **fields)["reserve_usd"] > 0


def test_tiers_price_long_prompts_by_their_own_rate(db: Database) -> None:
    """A prompt above a tier's threshold pays that tier, cached tokens their own rate, and an unknown price is null."""
    pricing = (
        '{"input": 1, "output": 10, "cached_input": 0.1, "tiers": '
        '[{"above_input_tokens": 200000, "input": 2, "output": 20, "cached_input": 0.2}]}'
    )
    cases = [(200_000, 1000, 0), (200_001, 1000, 0), (200_001, 0, 200_001), (0, 0, 0)]
    costs = [_cost(db, pricing, *case) for case in cases]
    assert costs == [Decimal("0.21"), Decimal("0.420002"), Decimal("0.0400002"), 0]
    assert _cost(db, None, 10, 10, 0) is None


def test_what_is_written_to_a_cache_has_its_own_rate(db: Database) -> None:
    """Without that rate it costs as much as other input. A tier has a rate of its own."""
    tier = '{"above_input_tokens": 1000, "input": 2, "output": 0, "cached_input": 0.2, "cache_write": 3}'
    pricing = f'{{"input": 1, "output": 0, "cached_input": 0.1, "cache_write": 1.25, "tiers": [{tier}]}}'
    assert _cost(db, pricing, 1000, 0, 400, 500) == Decimal("0.000765")
    assert _cost(db, pricing, 2000, 0, 400, 500) == Decimal("0.00378")
    assert _cost(db, '{"input": 1, "output": 0}', 1000, 0, 0, 500) == Decimal("0.001")


@pytest.mark.parametrize("is_attempt", [True, False])
def test_a_turn_that_writes_a_cache_costs_no_more_than_was_reserved(
    alice: Person, model: Models, db: Database, *, is_attempt: bool
) -> None:
    """The reservation covers the rate of writing; the log row has the count, and its cost the rate."""
    begun = begin(alice, model("echo", pricing='{"input": 1, "output": 0, "cache_write": 1.25}'))
    usage = used(10, 0, cache_write_tokens=8)
    attempts = [{"identifier": begun["model"], "provider_key": "x", "ok": True, "usage": usage}] if is_attempt else []
    booked = finish(alice, begun, usage=usage, attempts=attempts)
    assert Decimal(str(booked["cost_usd"])) == Decimal("0.000012")
    row = log_row(db, begun["turn_id"])
    assert (row["cache_write_tokens"], row["cost_usd"]) == (8, Decimal("0.000012"))
    other = begin(alice, model("echo", pricing='{"input": 1, "output": 0}'))
    assert Decimal(str(begun["reserve_usd"])) == Decimal(str(other["reserve_usd"])) * Decimal("1.25")


def _cost(db: Database, pricing: str | None, *tokens: int) -> Decimal | None:
    counts = ", ".join(["%s"] * len(tokens))
    row = db.execute(f"select private.turn_cost(%s::jsonb, {counts}) as cost", [pricing, *tokens]).fetchone()
    assert row is not None
    cost: Decimal | None = row["cost"]
    return cost


def test_a_killed_backend_rolls_back_whole(alice: Person, model: Models, db: Database) -> None:
    """A connection that ends inside chat_begin leaves no conversation, message, reservation or request count."""
    name = model("echo")
    with connect(alice.stack) as other:
        pid = other.info.backend_pid
        other.execute("begin")
        claims = f'{{"sub": "{alice.id}", "role": "authenticated"}}'
        other.execute(
            "select set_config('request.jwt.claims', %s, true), set_config('role', 'authenticated', true)", [claims]
        )
        turn = Jsonb(
            {
                "turn_id": str(uuid.uuid4()),
                "worker_id": str(uuid.uuid4()),
                "endpoint": "c",
                "message": "x",
                "model": name,
            }
        )
        other.execute("select public.chat_begin(%s)", [turn])
        db.execute("select pg_terminate_backend(%s, 5000)", [pid])
        other.close()
    assert alice.rows("messages") == alice.rows("llm_conversations") == alice.rows("usage_counters") == []
