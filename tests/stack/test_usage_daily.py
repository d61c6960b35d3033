"""usage_daily equals the sums of the logs, also of rows that were purged."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack
from tests.stack.turns import KEY, Database, begin, die, finish, sweep, used

_LOGGED = """
    select count(*) as requests, sum(coalesce(input_tokens, 0)) as input_tokens,
      sum(coalesce(output_tokens, 0)) as output_tokens, sum(coalesce(cached_tokens, 0)) as cached_tokens,
      sum(coalesce(reasoning_tokens, 0)) as reasoning_tokens, sum(coalesce(cost_usd, 0)) as cost_usd,
      count(*) filter (where cost_usd is null) as unpriced_requests, sum(coalesce(duration_ms, 0)) as duration_ms_sum,
      sum(coalesce(ttft_ms, 0)) as ttft_ms_sum, count(ttft_ms) as ttft_count,
      count(*) filter (where status in ('failed', 'partial') and error_code ^@ 'provider_') as errors,
      user_id, (created_at at time zone 'utc')::date as day, agent_type, endpoint
    from public.chat_logs where model_identifier = %s"""
_COUNTED = """
    select sum(requests) as requests, sum(input_tokens) as input_tokens, sum(output_tokens) as output_tokens,
      sum(cached_tokens) as cached_tokens, sum(reasoning_tokens) as reasoning_tokens, sum(cost_usd) as cost_usd,
      sum(unpriced_requests) as unpriced_requests, sum(duration_ms_sum) as duration_ms_sum,
      sum(ttft_ms_sum) as ttft_ms_sum, sum(ttft_count) as ttft_count, sum(errors) as errors,
      user_id, day, nullif(agent_type, '') as agent_type, endpoint
    from public.usage_daily where model_identifier = %s"""
_GROUPED = " group by user_id, {day}, agent_type, endpoint order by user_id, {day}, agent_type, endpoint"


def _agree(db: Database, model: str) -> list[dict[str, Any]]:
    """The roll-up's rows of a model, which must be the logs' sums to the last digit."""
    logged = db.execute(_LOGGED + _GROUPED.format(day="(created_at at time zone 'utc')::date"), [model]).fetchall()
    counted = db.execute(_COUNTED + _GROUPED.format(day="day"), [model]).fetchall()
    assert counted == logged
    return counted


_USED: dict[str, Any] = {
    "usage": used(1001, 503, cached_tokens=7, reasoning_tokens=3),
    "duration_ms": 311,
    "ttft_ms": 17,
}
_NOTHING: dict[str, Any] = {"content": "", "response": "", "usage": {}, "ttft_ms": None, "status": "failed"}
_NOTHING["error_code"] = "provider_timeout"


def _finish(person: Person, turn: dict[str, Any], **fields: Any) -> str:
    outcome: str = finish(person, turn, **_USED | fields)["outcome"]
    return outcome


@pytest.mark.parametrize(
    ("status", "code", "errors"),
    [
        ("completed", None, 0),
        ("cancelled", None, 0),
        ("partial", "provider_error", 3),
        ("failed", "provider_overloaded", 3),
        ("partial", "turn_timeout", 0),
        ("failed", "not_configured", 0),
    ],
)
def test_every_kind_of_turn_counts(
    alice: Person, model: Models, db: Database, status: str, code: str | None, errors: int
) -> None:
    """Tokens, cost and times of all turns are counted, and as errors those that a provider caused."""
    name = model("echo", pricing='{"input": 0.1, "output": 0.4, "cached_input": 0.01}')
    for _ in range(3):
        _finish(alice, begin(alice, name), status=status, error_code=code)
    (row,) = _agree(db, name)
    assert (row["requests"], row["input_tokens"], row["ttft_ms_sum"]) == (3, 3003, 51)
    assert row["errors"] == errors
    assert row["user_id"] == uuid.UUID(alice.id)


def test_a_turn_without_a_price_is_counted_as_such(alice: Person, model: Models, db: Database) -> None:
    """A turn with an unknown cost is counted in unpriced_requests."""
    name = model("echo", pricing=None)
    _finish(alice, begin(alice, name))
    (row,) = _agree(db, name)
    assert (row["cost_usd"], row["unpriced_requests"]) == (0, 1)


def test_a_turn_that_is_asked_again_is_counted_as_it_ended(alice: Person, model: Models, db: Database) -> None:
    """A failed turn that a retry completed counts as one request without an error, under the last agent."""
    name, key = model("echo"), KEY
    _finish(alice, begin(alice, name, **key), agent_type="first", **_NOTHING)
    assert [(row["agent_type"], row["errors"]) for row in _agree(db, name)] == [("first", 1)]
    assert _finish(alice, begin(alice, name, **key), agent_type="second") == "settled"
    assert [(row["agent_type"], row["errors"], row["requests"]) for row in _agree(db, name)] == [("second", 0, 1)]
    assert len(alice.rows(f"usage_daily?model_identifier=eq.{name}")) == 1


def test_a_takeover_and_the_cost_of_the_stale_attempt_count(alice: Person, model: Models, db: Database) -> None:
    """They count as one request with the cost of both attempts."""
    name, key = model("echo"), KEY
    first = begin(alice, name, **key)
    die(db, first)
    second = begin(alice, name, **key)
    assert [_finish(alice, turn) for turn in (second, first, first)] == ["settled", "stale", "duplicate"]
    (row,) = _agree(db, name)
    assert (row["requests"], row["cost_usd"]) == (1, Decimal("0.0020035") * 2)


def test_an_abandoned_turn_that_finishes_late_counts_as_finished(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """The sweeper's row counts as a request; no error, because a model may not have been called."""
    name = model("echo")
    turns = [begin(alice, name) for _ in range(3)]
    die(db, *turns)
    sweep(stack)
    assert [(row["requests"], row["errors"], row["unpriced_requests"]) for row in _agree(db, name)] == [(3, 0, 3)]
    for turn in turns[:2]:
        _finish(alice, turn)
    assert [(row["requests"], row["errors"], row["unpriced_requests"]) for row in _agree(db, name)] == [(3, 0, 1)]


def test_a_crowd_is_counted_to_the_last_digit(alice: Person, bob: Person, model: Models, db: Database) -> None:
    """Two people, finishes doubled, several agents, all at once."""
    name = model("echo", pricing='{"input": 0.1, "output": 0.4, "cached_input": 0.01}')

    def turn(number: int) -> None:
        begun = begin((alice, bob)[number % 2], name)
        usage = {"input_tokens": 7 * number, "output_tokens": number, "source": "provider"}
        for _ in range(1 + number % 3):
            _finish(
                alice, begun, status=("completed", "partial")[number % 5 == 0], usage=usage, agent_type=str(number % 4)
            )

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(turn, range(64)))
    assert sum(row["requests"] for row in _agree(db, name)) == 64


def _by_deleting(db: Database, person: Person) -> None:
    db.execute("delete from auth.users where id = %s", [person.id])


def _by_taking_the_name_out(db: Database, person: Person) -> None:
    db.execute("update public.chat_logs set user_id = null where user_id = %s", [person.id])


@pytest.mark.parametrize("forget", [_by_deleting, _by_taking_the_name_out])
def test_the_totals_of_a_person_become_anonymous(
    alice: Person, bob: Person, model: Models, db: Database, forget: Callable[[Database, Person], None]
) -> None:
    """Nothing is lost or doubled, no row names them, and other people's rows stay theirs."""
    name = model("echo")
    for person in (alice, alice, bob):
        _finish(alice, begin(person, name), agent_type="a")
    late = begin(alice, name)
    forget(db, alice)
    assert [(row["user_id"], row["requests"]) for row in _agree(db, name)] == [(uuid.UUID(bob.id), 1), (None, 2)]
    assert db.execute("select from public.usage_daily where user_id = %s", [alice.id]).fetchall() == []
    _finish(alice, late)
    forget(db, bob)
    rows = _agree(db, name)
    assert sum(row["requests"] for row in rows) == 4
    assert db.execute("select from public.usage_hourly where requests <= 0").fetchall() == []


def test_people_are_deleted_at_once_without_a_circle(
    alice: Person, bob: Person, model: Models, db: Database, stack: Stack
) -> None:
    """Their rows of many kinds become the same anonymous ones, in one order."""
    name = model("echo")
    for number in range(12):
        _finish(alice, begin((alice, bob)[number % 2], name), agent_type=str(number // 2))

    def forget(person: Person) -> None:
        with psycopg.connect(stack["DATABASE_URL"], autocommit=True) as other:
            other.execute("delete from auth.users where id = %s", [person.id])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(forget, (alice, bob)))
    assert [row["requests"] for row in _agree(db, name)] == [2] * 6


def test_purging_leaves_what_was_counted(alice: Person, model: Models, db: Database) -> None:
    """The logs go, the sums stay, also when the person goes after them."""
    name = model("echo")
    for _ in range(4):
        _finish(alice, begin(alice, name))
    (before,) = _agree(db, name)
    db.execute(
        "delete from public.chat_logs where id in (select id from public.chat_logs where user_id = %s limit 3)",
        [alice.id],
    )
    assert db.execute(_COUNTED + _GROUPED.format(day="day"), [name]).fetchall() == [before]
    _by_deleting(db, alice)
    after = db.execute(_COUNTED + _GROUPED.format(day="day"), [name]).fetchall()
    assert [row | {"user_id": before["user_id"]} for row in after] == [before]
    assert after[0]["user_id"] is None
