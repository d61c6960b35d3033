"""Global caps, whose counters have sixteen slots: exact for all users together, and held by no single row."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.stack.caps import PRICED, counters, details_of, global_caps, reserve_of
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, connect, eventually, sign_up
from tests.stack.turns import Database, asked, begin, die, extend, fail, finish, sweep, turn_of, used

__all__ = ["global_caps"]  # a fixture
_ADMITTED = {"PT429": 429, "PT402": 402}


def _begin_in_parallel(stack: Stack, people: list[Person], model: str, turns: int) -> list[int]:
    """The statuses of so many turns at once, each in a database process of its own, by sixteen clients."""

    def begin_one(number: int) -> int:
        person = people[number % len(people)]
        with connect(stack) as db:
            claims = json.dumps({"sub": person.id, "role": "authenticated"})
            db.execute("select set_config('request.jwt.claims', %s, false)", [claims])
            try:
                db.execute("select public.chat_begin(%s)", [Jsonb(turn_of(model))])
            except psycopg.Error as error:
                return _ADMITTED[str(error.sqlstate)]
        return 200

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(begin_one, range(turns)))


@pytest.mark.parametrize("cap", ["daily_requests", "daily_cost_usd", "monthly_cost_usd"])
def test_a_global_cap_admits_exactly_what_it_has_room_for(
    stack: Stack, model: Models, db: Database, global_caps: Callable[..., None], cap: str
) -> None:
    """Of two hundred turns of eight users in sixteen processes, fifty fit under the cap, and fifty are admitted."""
    people = [sign_up(stack) for _ in range(8)]
    name = model("echo", PRICED)
    global_caps(**{cap: 50 if cap == "daily_requests" else reserve_of(people[0], name) * Decimal("50.5")})
    before = counters(db, "global")
    statuses = _begin_in_parallel(stack, people, name, 200)
    assert sorted(statuses) == [200] * 50 + [429 if cap == "daily_requests" else 402] * 150
    assert counters(db, "global")["day"]["requests"] - before["day"]["requests"] == 50
    _close_all(stack, db, people)


def test_what_a_turn_costs_beyond_its_reservation_is_room_of_no_slot(
    alice: Person, bob: Person, model: Models, db: Database, global_caps: Callable[..., None]
) -> None:
    """Of a cap of forty reservations a turn costs 35: five more turns are admitted, whatever their slots had left."""
    name = model("echo", PRICED)
    reserved = reserve_of(alice, name)
    global_caps(daily_cost_usd=reserved * Decimal("40.5"))
    dear = begin(alice, name)
    finish(alice, dear, usage=used(int(reserved * 35 * 10**6), 0))
    answers = [asked(person, name) for person in (alice, bob) * 10]
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [402] * 15
    die(db, *(answer.json() for answer in answers if answer.status_code == 200))
    sweep(alice.stack)


def test_a_turn_that_waited_for_a_full_slot_keeps_no_lock_of_it(
    stack: Stack, db: Database, global_caps: Callable[..., None]
) -> None:
    """It shares the cap out while another turn does so, too, and neither waits for the other."""
    global_caps(daily_requests=17)
    cap = counters(db, "global")["day"]["requests"] + 17

    def reserve(on: Database, slot: int) -> None:
        on.execute(
            "select private.reserve_in_scope('global', %s::smallint, 'day', (now() at time zone 'utc')::date, 1, 0, "
            "%s, null)",
            [slot, cap],
        )

    def waiting() -> int:
        row = db.execute("select count(*) as n from pg_stat_activity where wait_event_type = 'Lock'").fetchone()
        return int((row or {})["n"])

    with connect(stack) as first, connect(stack) as second, connect(stack) as third, ThreadPoolExecutor(2) as pool:
        for each in (first, second, third):
            each.execute("begin")
        reserve(first, 3)  # shares out: one turn for each slot
        first.execute("commit; begin")
        reserve(first, 5)
        one = pool.submit(reserve, second, 5)  # waits for the slot, which has no room afterwards
        assert eventually(lambda: waiting() == 1)
        reserve(third, 2)
        other = pool.submit(reserve, third, 2)  # shares out: has the slots below 5 and waits for it
        assert eventually(lambda: waiting() == 2)
        first.execute("commit")
        other.result(timeout=30)
        third.execute("rollback")
        one.result(timeout=30)
        second.execute("rollback")
    db.execute(
        "select private.settle_in_scope('global', s.slot::smallint, (now() at time zone 'utc')::date, 0, 0, 0, 0, -1) "
        "from (values (3), (5)) as s (slot)"
    )


def test_the_owner_resets_a_counter_with_all_its_slots(alice: Person, model: Models, db: Database) -> None:
    """A deletion from the view counts from zero again; other writes name the ledger."""
    finish(alice, begin(alice, model("echo", PRICED)))
    db.execute("delete from public.usage_counters where scope = %s", [alice.id])
    assert db.execute("select from public.usage_counter_slots where scope = %s", [alice.id]).fetchall() == []
    begun = begin(alice, model("echo", PRICED))
    assert counters(db, alice.id)["day"]["requests"] == 1
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="Only the ledger"):
        db.execute("update public.usage_counters set requests = 0 where scope = %s", [alice.id])
    finish(alice, begun)


@pytest.mark.usefixtures("each_way")
def test_a_changed_global_cap_holds_for_the_next_turn(
    alice: Person, bob: Person, model: Models, db: Database, global_caps: Callable[..., None]
) -> None:
    """A lower cap refuses at once, although slots still had a share of the old one; a higher one admits again."""
    name = model("echo", PRICED)
    global_caps(daily_requests=100)
    turns = [begin(alice, name) for _ in range(3)]
    global_caps(daily_requests=0)
    assert [asked(person, name).status_code for person in (alice, bob) * 8] == [429] * 16
    global_caps(daily_requests=16)
    turns += [begin(person, name) for person in (alice, bob) * 8]
    assert asked(alice, name).status_code == 429
    db.execute("update public.usage_limits set daily_requests = null where scope = 'global'")
    turns.append(begin(alice, name))
    for turn in turns:
        finish(alice, turn)


def test_the_shares_of_all_slots_stay_under_the_cap(
    stack: Stack, alice: Person, model: Models, db: Database, global_caps: Callable[..., None]
) -> None:
    """After any number of turns and finishes, what the slots may use together is not more than the cap."""
    name = model("echo", PRICED)
    global_caps(daily_requests=40, daily_cost_usd=Decimal("0.5"))
    cap: dict[str, Any] = db.execute("select * from public.usage_limits where scope = 'global'").fetchone() or {}
    turns = [begin(alice, name) for _ in range(12)]
    for turn in turns[:6]:
        finish(alice, turn)
    people = [alice, sign_up(stack)]
    _begin_in_parallel(stack, people, name, 16)
    shares = db.execute(
        """select sum(greatest(share_requests, requests)) as requests,
             sum(greatest(share_usd, spent_usd + reserved_usd)) as usd
           from public.usage_counter_slots where scope = 'global' and period = 'day'
             and period_start = (now() at time zone 'utc')::date"""
    ).fetchone()
    assert shares is not None
    assert shares["requests"] <= cap["daily_requests"]
    assert shares["usd"] <= cap["daily_cost_usd"]
    _close_all(stack, db, people)


@pytest.mark.parametrize(
    ("cap", "status", "period"),
    [("daily_requests", 429, "day"), ("daily_cost_usd", 402, "day"), ("monthly_cost_usd", 402, "month")],
)
def test_a_global_cap_refuses_without_its_amounts(
    alice: Person,
    bob: Person,
    model: Models,
    db: Database,
    global_caps: Callable[..., None],
    cap: str,
    status: int,
    period: str,
) -> None:
    """With room for one more turn of everyone, the second person is refused, without what others have spent."""
    name = model("echo", PRICED)
    global_caps(**{cap: 1 if cap == "daily_requests" else reserve_of(alice, name) * Decimal("1.5")})
    turn = begin(alice, name)
    before = counters(db, bob.id)
    refused = asked(bob, name)
    assert refused.status_code == status
    details = details_of(refused)
    assert (details["scope"], details["period"]) == ("global", period)
    assert not {"limit", "used", "limit_usd", "spent_usd", "reserved_usd", "needed_usd"} & set(details)
    assert counters(db, bob.id) == before
    finish(alice, turn)


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("end", ["finish", "fail", "sweep"])
def test_global_counters_give_back_what_a_turn_held(alice: Person, model: Models, db: Database, end: str) -> None:
    """After a turn the global counters have its cost and no reservation; a turn without cost is not counted."""
    name = model("echo", PRICED)
    sweep(alice.stack)  # so that the sweep below closes this turn only
    before = counters(db, "global")
    turn = begin(alice, name)
    held = Decimal(str(turn["reserve_usd"]))
    for period, row in counters(db, "global").items():
        assert row["reserved_usd"] - before[period]["reserved_usd"] == held
        assert row["requests"] - before[period]["requests"] == 1
    if end == "sweep":
        die(db, turn)
        assert sweep(alice.stack) >= 1
    else:
        (finish if end == "finish" else fail)(alice, turn, **({} if end == "finish" else {"usage": used(0, 0)}))
    spent = {"finish": Decimal("0.002"), "fail": Decimal(0), "sweep": held}[end]
    for period, row in counters(db, "global").items():
        assert row["reserved_usd"] == before[period]["reserved_usd"]
        assert row["requests"] - before[period]["requests"] == (0 if end == "fail" else 1)
        if end != "sweep":  # the cost of a swept turn is for tests of the sweep
            assert row["spent_usd"] - before[period]["spent_usd"] == spent


@pytest.mark.usefixtures("each_way")
def test_a_further_call_is_reserved_in_all_four_counters(
    alice: Person, model: Models, db: Database, global_caps: Callable[..., None]
) -> None:
    """An extension raises day and month, personal and global alike; a global cap just below it moves none of them."""
    turn = begin(alice, model("echo", PRICED))
    before = {scope: counters(db, scope) for scope in (alice.id, "global")}
    first = extend(alice.stack, turn, 1000)
    more = Decimal(str(first["reserved_usd"])) - Decimal(str(turn["reserve_usd"]))
    after = {scope: counters(db, scope) for scope in (alice.id, "global")}
    for scope, rows in after.items():
        for period, row in rows.items():
            assert row["reserved_usd"] - before[scope][period]["reserved_usd"] == more
    global_caps(daily_cost_usd=more - Decimal("0.000001"))
    assert extend(alice.stack, turn, 1000)["outcome"] == "refused"
    assert {scope: counters(db, scope) for scope in (alice.id, "global")} == after
    finish(alice, turn)


def _close_all(stack: Stack, db: Database, people: list[Person]) -> None:
    """Sweeps the turns that are still running."""
    ids = [person.id for person in people]
    running = "select id from private.turns where state = 'started' and user_id = any(%s::uuid[])"
    die(db, *({"turn_id": str(row["id"])} for row in db.execute(running, [ids]).fetchall()))
    sweep(stack)
