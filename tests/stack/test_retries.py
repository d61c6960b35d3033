"""Turns repeated with their key: row and counters have the usage of every attempt."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, connect, eventually, log_row
from tests.stack.turns import KEY, Database, asked, begin, die, fail, finish, reserved_usd, sweep

pytestmark = pytest.mark.usefixtures("each_way")


def _began_yesterday(db: Database, person: Person, turn: dict[str, Any]) -> None:
    """Midnight passes: whatever the turn holds or has used belongs to the day before, and so does its log row."""
    ids = [turn["turn_id"]]
    db.execute("update private.turns set day = day - 1, started_at = started_at - interval '1 day' where id = %s", ids)
    db.execute("update public.chat_logs set created_at = created_at - interval '1 day' where turn_id = %s", ids)
    db.execute(
        """insert into public.usage_counter_slots as c
             (scope, period, period_start, slot, requests, input_tokens, output_tokens, spent_usd, reserved_usd)
           select 'global', m.period, (date_trunc(m.period, now() at time zone 'utc' - interval '1 day'))::date,
             private.global_slot(%s), m.requests, m.input_tokens, m.output_tokens, m.spent_usd, m.reserved_usd
           from public.usage_counters as m where m.scope = %s
           on conflict on constraint usage_counter_slots_pkey do update
             set spent_usd = c.spent_usd + excluded.spent_usd, reserved_usd = c.reserved_usd + excluded.reserved_usd,
               requests = c.requests + excluded.requests, input_tokens = c.input_tokens + excluded.input_tokens,
               output_tokens = c.output_tokens + excluded.output_tokens""",
        [turn["turn_id"], person.id],
    )
    db.execute(
        """update public.usage_counter_slots set period_start =
             (date_trunc(period, now() at time zone 'utc' - interval '1 day'))::date where scope = %s""",
        [person.id],
    )


def _booked(db: Database, person: Person) -> list[tuple[Any, ...]]:
    """Day by day what the counters have and what the log rows add up to; the two must be the same."""
    counters = db.execute(
        """select period_start as day, spent_usd, input_tokens, output_tokens from public.usage_counters
           where scope = %s and period = 'day' and (spent_usd, input_tokens, output_tokens) <> (0, 0, 0) order by 1""",
        [person.id],
    ).fetchall()
    logs = db.execute(
        """select (created_at at time zone 'utc')::date as day, sum(coalesce(cost_usd, 0)) as spent_usd,
             sum(coalesce(input_tokens, 0)) as input_tokens, sum(coalesce(output_tokens, 0)) as output_tokens
           from public.chat_logs where user_id = %s group by 1
           having (sum(coalesce(cost_usd, 0)), sum(coalesce(input_tokens, 0))) <> (0, 0) order by 1""",
        [person.id],
    ).fetchall()
    daily = db.execute(
        """select day, sum(cost_usd) as spent_usd, sum(input_tokens) as input_tokens,
             sum(output_tokens) as output_tokens from public.usage_daily where user_id = %s group by 1
           having (sum(cost_usd), sum(input_tokens)) <> (0, 0) order by 1""",
        [person.id],
    ).fetchall()
    assert counters == logs == daily
    assert reserved_usd(db, person) >= 0
    return [tuple(row.values())[1:] for row in counters]


@pytest.mark.parametrize("end", ["failed", "dead", "dead and told late"])
def test_a_turn_that_is_tried_again_after_midnight_is_charged_to_one_day(
    alice: Person, model: Models, db: Database, stack: Stack, end: str
) -> None:
    """The usage of the first attempt moves with the row, so rows and counters of each day agree."""
    name = model("echo")
    first = begin(alice, name, **KEY)
    if end == "failed":
        fail(alice, first)
    _began_yesterday(db, alice, first)
    if end != "failed":
        die(db, first)
        sweep(stack)
    if end == "dead and told late":
        fail(alice, first)
    spent = Decimal(0) if end == "dead" else Decimal("0.001")
    assert _booked(db, alice) == ([] if end == "dead" else [(spent, 1000, 0)])
    second = begin(alice, name, **KEY)
    assert second["turn_id"] == first["turn_id"]
    assert _booked(db, alice) == ([] if end == "dead" else [(spent, 1000, 0)])
    assert finish(alice, second)["outcome"] == "settled"
    tokens = 1000 if end == "dead" else 2000
    assert _booked(db, alice) == [(spent + Decimal("0.002"), tokens, 500)]
    assert log_row(db, first["turn_id"])["cost_usd"] == spent + Decimal("0.002")
    assert reserved_usd(db, alice) == 0


def test_what_moves_to_another_day_keeps_that_days_cap(alice: Person, model: Models, db: Database) -> None:
    """If the new day's cap does not cover the earlier cost, the retry is refused and nothing moves."""
    name = model("echo")
    first = begin(alice, name, **KEY)
    fail(alice, first)
    _began_yesterday(db, alice, first)
    need = asked(alice, name, dry_run=True).json()["reserve_usd"]
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, %s)", [alice.id, need + 0.0005])
    assert asked(alice, name, **KEY).status_code == 402
    assert _booked(db, alice) == [(Decimal("0.001"), 1000, 0)]


@pytest.mark.parametrize("pricing", [None, '{"input": 0, "output": 0}', '{"input": 1, "output": 2}'])
def test_an_attempt_is_counted_once_also_when_it_cost_nothing(
    alice: Person, model: Models, db: Database, pricing: str | None
) -> None:
    """A repeated finish after the retry began is a duplicate, whatever the model's price."""
    name = model("echo", pricing=pricing)
    first = begin(alice, name, **KEY)
    fail(alice, first)
    second = begin(alice, name, **KEY)
    assert [fail(alice, first)["outcome"] for _ in range(2)] == ["duplicate", "duplicate"]
    finish(alice, second)
    ((_, *tokens),) = _booked(db, alice)
    assert tokens == [2000, 500]
    cost = log_row(db, first["turn_id"])["cost_usd"]
    assert cost == (None if pricing is None else Decimal("0.003") if "1" in pricing else 0)


def test_a_retry_that_dies_leaves_nothing_of_the_attempt_before_but_what_it_used(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """An abandoned row has no error and times of an earlier attempt, but its tokens and cost."""
    name = model("echo")
    fail(alice, begin(alice, name, **KEY))
    second = begin(alice, name, **KEY)
    die(db, second)
    sweep(stack)
    row = log_row(db, second["turn_id"])
    gone = ("error_code", "finish_reason", "duration_ms", "ttft_ms")
    assert [row["status"], *(row[name] for name in gone)] == ["abandoned", None, None, None, None]
    assert _booked(db, alice) == [(Decimal("0.001"), 1000, 0)]


def test_a_worker_that_comes_back_too_late_adds_its_tokens_to_the_row(
    alice: Person, model: Models, db: Database
) -> None:
    """The row gets the tokens and the cost that the counters get."""
    name = model("echo")
    first = begin(alice, name, **KEY)
    die(db, first)
    finish(alice, begin(alice, name, **KEY))
    assert finish(alice, first)["outcome"] == "stale"
    assert _booked(db, alice) == [(Decimal("0.004"), 2000, 1000)]


def test_a_late_finish_tells_whose_row_it_is(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """A late finish writes user_id_hash into the abandoned row."""
    turn = begin(alice, model("echo"))
    die(db, turn)
    sweep(stack)
    finish(alice, turn, user_id_hash="v1:abc")
    assert log_row(db, turn["turn_id"])["user_id_hash"] == "v1:abc"


def test_days_that_meet_at_midnight_do_not_wait_for_each_other(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """A sweep of two days locks both before the month, in the same order as every turn."""
    name = model("echo")
    old, new = begin(alice, name), begin(alice, name)
    db.execute("update private.turns set day = day - 1 where id = %s", [old["turn_id"]])
    for scope in (alice.id, "global"):
        db.execute(
            """insert into public.usage_counter_slots (scope, period, period_start, slot, reserved_usd)
               values (%(scope)s, 'day', (now() at time zone 'utc')::date - 1,
                 case %(scope)s when 'global' then private.global_slot(%(turn)s) else 0 end, 1)
               on conflict on constraint usage_counter_slots_pkey do update
                 set reserved_usd = public.usage_counter_slots.reserved_usd + 1""",
            {"scope": scope, "turn": old["turn_id"]},
        )
    die(db, old, new)
    with connect(stack) as other, ThreadPoolExecutor(1) as pool:
        other.execute("begin")
        counter = "select from public.usage_counter_slots where (scope, period, period_start) = (%s, %s, %s) for update"
        days = db.execute("select now()::date as day, date_trunc('month', now())::date as month").fetchone() or {}
        other.execute(counter, [alice.id, "day", days["day"]])
        sweeping = pool.submit(sweep, stack)
        waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%%sweep_turns%%'"
        eventually(lambda: db.execute(waiting).fetchone())
        other.execute(counter + " nowait", [alice.id, "month", days["month"]])
        other.execute("rollback")
        assert sweeping.result() >= 2


def test_a_replay_tells_what_is_left(alice: Person, model: Models, db: Database) -> None:
    """A replay has the limit headers and does not count as a request."""
    db.execute("insert into public.usage_limits (scope, daily_requests, daily_cost_usd) values (%s, 5, 1)", [alice.id])
    body = {"message": "hi", "model": model("echo"), "stream": False}
    first, again = (alice.ask(body, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert again.headers["idempotent-replayed"] == "true"
    for name in ("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"):
        assert again.headers[name] == first.headers[name]
    assert float(again.headers["x-budget-remaining-usd"]) > float(first.headers["x-budget-remaining-usd"])


def test_a_begin_that_is_sent_again_finds_its_turn_and_conversation(alice: Person, model: Models, db: Database) -> None:
    """A worker that lost the answer sends the same call: one reservation, one question, one conversation."""
    name, ids = model("echo"), {"turn_id": str(uuid.uuid4()), "worker_id": str(uuid.uuid4())}
    first, again = (begin(alice, name, **ids) for _ in range(2))
    assert (again["outcome"], again["turn_id"]) == ("new", ids["turn_id"])
    assert (again["conversation_id"], again["message_id"]) == (first["conversation_id"], first["message_id"])
    (day,) = alice.rows("usage_counters?period=eq.day")
    assert day["requests"] == 1
    assert finish(alice, again)["outcome"] == "settled"
    assert [row["conversation_id"] for row in alice.rows("messages")] == [first["conversation_id"]] * 2
    assert reserved_usd(db, alice) == 0


def test_words_that_may_not_be_kept_close_the_turn(alice: Person, model: Models) -> None:
    """A turn with text is settled, even if it is not stored; without text its key can be used again."""
    name = model("echo")
    first = begin(alice, name, **KEY)
    finish(alice, first, status="partial", content="", response=None, has_content=True)
    assert begin(alice, name, **KEY)["outcome"] == "replay"
    other = KEY | {"idempotency_key": "other"}
    finish(alice, begin(alice, name, **other), status="partial", content="", response=None, has_content=False)
    assert begin(alice, name, **other)["outcome"] == "new"
