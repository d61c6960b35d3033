"""Caps of a user: daily and monthly, with concurrent turns."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from tests.stack.caps import PRICED, counters, details_of, reserve_of
from tests.stack.conftest import Models
from tests.stack.people import Person, sign_up
from tests.stack.turns import KEY, Database, asked, begin, die, fail, finish, sweep

pytestmark = pytest.mark.usefixtures("each_way")


def _limit(db: Database, person: Person, **caps: Any) -> None:
    names = ", ".join(caps)
    marks = ", ".join(["%s"] * len(caps))
    db.execute(f"insert into public.usage_limits (scope, {names}) values (%s, {marks})", [person.id, *caps.values()])


@pytest.mark.parametrize("cap", ["daily_cost_usd", "monthly_cost_usd"])
def test_a_budget_counts_what_other_turns_hold(alice: Person, model: Models, db: Database, cap: str) -> None:
    """Of twenty turns at once, a budget of three and a half reservations admits three and refuses seventeen."""
    name = model("echo", PRICED)
    _limit(db, alice, **{cap: reserve_of(alice, name) * Decimal("3.5")})
    with ThreadPoolExecutor(20) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: asked(alice, name), range(20))]
    assert sorted(statuses) == [200] * 3 + [402] * 17


def test_a_monthly_budget_refuses_the_first_call_of_a_turn(alice: Person, model: Models, db: Database) -> None:
    """Without any daily cap, a small monthly budget refuses the turn and names the month."""
    _limit(db, alice, monthly_cost_usd=Decimal("0.001"))
    refused = asked(alice, model("echo", PRICED))
    assert refused.status_code == 402
    assert details_of(refused)["period"] == "month"


def test_a_failed_call_that_used_tokens_stays_counted(alice: Person, model: Models, db: Database) -> None:
    """A failed turn is not counted as a request only if it cost nothing; priced input counts."""
    turn = begin(alice, model("echo", PRICED))
    fail(alice, turn)
    row = counters(db, alice.id)["day"]
    assert (row["requests"], row["spent_usd"], row["reserved_usd"]) == (1, Decimal("0.001"), 0)


def test_a_reservation_covers_the_dearest_route(alice: Person, model: Models, db: Database) -> None:
    """If the second model of an alias costs ten times the first, the reservation is the second's cost."""
    cheap, dear = model("echo", PRICED), model("echo", '{"input": 10, "output": 20}')
    db.execute(
        "insert into public.llm_routes (alias, model_key, weight, fallback_order) "
        "values ('two-prices', %s, 1, 1), ('two-prices', %s, 1, 2)",
        [cheap, dear],
    )
    try:
        assert reserve_of(alice, "two-prices") == reserve_of(alice, dear) == 10 * reserve_of(alice, cheap)
    finally:
        db.execute("delete from public.llm_routes where alias = 'two-prices'")


def test_a_turn_is_charged_to_the_month_in_which_it_began(alice: Person, model: Models, db: Database) -> None:
    """A turn begun on the last day of last month changes last month's counter and not this month's."""
    turn = begin(alice, model("echo", PRICED))
    last = "date_trunc('month', now() at time zone 'utc')::date - 1"
    db.execute(f"update private.turns set day = {last} where id = %s", [turn["turn_id"]])
    db.execute(
        f"update public.usage_counter_slots set period_start = case period when 'day' then {last} "
        f"else date_trunc('month', {last})::date end where scope = %s",
        [alice.id],
    )
    finish(alice, turn)
    rows = db.execute(
        "select period, spent_usd, reserved_usd, period_start < date_trunc('month', now() at time zone 'utc')::date "
        "as is_past from public.usage_counters where scope = %s and spent_usd > 0",
        [alice.id],
    ).fetchall()
    assert {(row["period"], row["is_past"], row["spent_usd"], row["reserved_usd"]) for row in rows} == {
        ("day", True, Decimal("0.002"), 0),
        ("month", True, Decimal("0.002"), 0),
    }


def test_what_is_left_is_the_smaller_of_day_and_month(alice: Person, model: Models, db: Database) -> None:
    """With a monthly cap below the daily one, the remaining budget is the month's, less the reservations."""
    name = model("echo", PRICED)
    reserve = reserve_of(alice, name)
    _limit(db, alice, daily_cost_usd=reserve * 100, monthly_cost_usd=reserve * 3)
    turn = begin(alice, name)
    assert Decimal(str(turn["limits"]["budget_remaining_usd"])) == reserve * 2
    again = asked(alice, name, **KEY)
    assert Decimal(str(again.json()["limits"]["budget_remaining_usd"])) == reserve


def test_two_people_do_not_share_a_personal_cap(alice: Person, model: Models, db: Database) -> None:
    """One person's exhausted budget leaves another person's turns alone."""
    name = model("echo", PRICED)
    _limit(db, alice, daily_cost_usd=Decimal(0))
    assert (asked(alice, name).status_code, asked(sign_up(alice.stack), name).status_code) == (402, 200)


@pytest.mark.parametrize("end", ["finish", "sweep"])
def test_a_counter_that_holds_too_little_stops_neither_finish_nor_sweep(
    alice: Person, bob: Person, model: Models, db: Database, end: str
) -> None:
    """A turn that reserves more than its user's counters hold is closed, and so are the turns of others."""
    name = model("echo", PRICED)
    wrong, right = begin(alice, name), begin(bob, name)
    db.execute("update public.usage_counter_slots set reserved_usd = 0 where scope = %s", [alice.id])
    if end == "sweep":
        die(db, wrong, right)
        assert sweep(alice.stack) >= 2
    else:
        assert [finish(alice, wrong)["outcome"], finish(bob, right)["outcome"]] == ["settled", "settled"]
    for person in (alice, bob):
        assert {row["reserved_usd"] for row in counters(db, person.id).values()} == {0}
        assert [row["status"] for row in person.rows("chat_logs")] == ["completed" if end == "finish" else "abandoned"]
