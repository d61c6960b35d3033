"""Caps: daily and monthly, of a user and global, with concurrent turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, sign_up
from tests.stack.turns import KEY, Database, asked, begin, die, extend, fail, finish, sweep, used

pytestmark = pytest.mark.usefixtures("each_way")

_PRICED = '{"input": 1, "output": 2}'


@pytest.fixture
def global_caps(db: Database) -> Iterator[Callable[..., None]]:
    """Sets global caps for this test, each above what is used now by the amount given."""
    before = db.execute("select * from public.usage_limits where scope = 'global'").fetchone()

    def allow(**more: Any) -> None:
        caps = dict.fromkeys(("daily_requests", "daily_cost_usd", "monthly_cost_usd"))
        for name, amount in more.items():
            period, _, kind = name.partition("ly_")
            row = _counters(db, "global")["day" if period == "dai" else "month"]
            used_now = row["requests"] if kind == "requests" else row["spent_usd"] + row["reserved_usd"]
            caps[name] = used_now + amount
        db.execute(
            """insert into public.usage_limits (scope, daily_requests, daily_cost_usd, monthly_cost_usd)
               values ('global', %(daily_requests)s, %(daily_cost_usd)s, %(monthly_cost_usd)s)
               on conflict (scope) do update set daily_requests = excluded.daily_requests,
                 daily_cost_usd = excluded.daily_cost_usd, monthly_cost_usd = excluded.monthly_cost_usd""",
            caps,
        )

    yield allow
    db.execute("delete from public.usage_limits where scope = 'global'")
    if before is not None:
        db.execute(
            """insert into public.usage_limits (scope, daily_requests, daily_cost_usd, monthly_cost_usd)
               values (%(scope)s, %(daily_requests)s, %(daily_cost_usd)s, %(monthly_cost_usd)s)""",
            before,
        )


def _counters(db: Database, scope: str) -> dict[str, dict[str, Any]]:
    """The counters of the current day and month, by period; zeros where there is no row yet."""
    rows = db.execute(
        "select p.period, (c).requests, (c).spent_usd, (c).reserved_usd, (c).input_tokens, (c).output_tokens "
        "from (values ('day'), ('month')) as p (period), private.current_counter(%s, p.period) as c",
        [scope],
    ).fetchall()
    return {row.pop("period"): row for row in rows}


def _limit(db: Database, person: Person, **caps: Any) -> None:
    names = ", ".join(caps)
    marks = ", ".join(["%s"] * len(caps))
    db.execute(f"insert into public.usage_limits (scope, {names}) values (%s, {marks})", [person.id, *caps.values()])


def _reserve(person: Person, model: str) -> Decimal:
    """What one turn reserves."""
    dry = asked(person, model, dry_run=True)
    assert dry.status_code == 200, dry.text
    return Decimal(str(dry.json()["reserve_usd"]))


@pytest.mark.parametrize("cap", ["daily_cost_usd", "monthly_cost_usd"])
def test_a_budget_counts_what_other_turns_hold(alice: Person, model: Models, db: Database, cap: str) -> None:
    """Of twenty turns at once, a budget of three and a half reservations admits three and refuses seventeen."""
    name = model("echo", _PRICED)
    _limit(db, alice, **{cap: _reserve(alice, name) * Decimal("3.5")})
    with ThreadPoolExecutor(20) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: asked(alice, name), range(20))]
    assert sorted(statuses) == [200] * 3 + [402] * 17


def test_a_monthly_budget_refuses_the_first_call_of_a_turn(alice: Person, model: Models, db: Database) -> None:
    """Without any daily cap, a small monthly budget refuses the turn and names the month."""
    _limit(db, alice, monthly_cost_usd=Decimal("0.001"))
    refused = asked(alice, model("echo", _PRICED))
    assert refused.status_code == 402
    assert _details(refused)["period"] == "month"


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
    name = model("echo", _PRICED)
    global_caps(**{cap: 1 if cap == "daily_requests" else _reserve(alice, name) * Decimal("1.5")})
    turn = begin(alice, name)
    before = _counters(db, bob.id)
    refused = asked(bob, name)
    assert refused.status_code == status
    details = _details(refused)
    assert (details["scope"], details["period"]) == ("global", period)
    assert not {"limit", "used", "limit_usd", "spent_usd", "reserved_usd", "needed_usd"} & set(details)
    assert _counters(db, bob.id) == before
    finish(alice, turn)


@pytest.mark.parametrize("end", ["finish", "fail", "sweep"])
def test_global_counters_give_back_what_a_turn_held(alice: Person, model: Models, db: Database, end: str) -> None:
    """After a turn the global counters have its cost and no reservation; a turn without cost is not counted."""
    name = model("echo", _PRICED)
    before = _counters(db, "global")
    turn = begin(alice, name)
    held = Decimal(str(turn["reserve_usd"]))
    for period, row in _counters(db, "global").items():
        assert row["reserved_usd"] - before[period]["reserved_usd"] == held
        assert row["requests"] - before[period]["requests"] == 1
    if end == "sweep":
        die(db, turn)
        assert sweep(alice.stack) >= 1
    else:
        (finish if end == "finish" else fail)(alice, turn, **({} if end == "finish" else {"usage": used(0, 0)}))
    spent = {"finish": Decimal("0.002"), "fail": Decimal(0), "sweep": held}[end]
    for period, row in _counters(db, "global").items():
        assert row["reserved_usd"] == before[period]["reserved_usd"]
        assert row["requests"] - before[period]["requests"] == (0 if end == "fail" else 1)
        if end != "sweep":  # the cost of a swept turn is for tests of the sweep
            assert row["spent_usd"] - before[period]["spent_usd"] == spent


def test_a_failed_call_that_used_tokens_stays_counted(alice: Person, model: Models, db: Database) -> None:
    """A failed turn is not counted as a request only if it cost nothing; priced input counts."""
    turn = begin(alice, model("echo", _PRICED))
    fail(alice, turn)
    row = _counters(db, alice.id)["day"]
    assert (row["requests"], row["spent_usd"], row["reserved_usd"]) == (1, Decimal("0.001"), 0)


def test_a_further_call_is_reserved_in_all_four_counters(
    alice: Person, model: Models, db: Database, global_caps: Callable[..., None]
) -> None:
    """An extension raises day and month, personal and global alike; a global cap just below it moves none of them."""
    turn = begin(alice, model("echo", _PRICED))
    before = {scope: _counters(db, scope) for scope in (alice.id, "global")}
    first = extend(alice.stack, turn, 1000)
    more = Decimal(str(first["reserved_usd"])) - Decimal(str(turn["reserve_usd"]))
    after = {scope: _counters(db, scope) for scope in (alice.id, "global")}
    for scope, rows in after.items():
        for period, row in rows.items():
            assert row["reserved_usd"] - before[scope][period]["reserved_usd"] == more
    global_caps(daily_cost_usd=more - Decimal("0.000001"))
    assert extend(alice.stack, turn, 1000)["outcome"] == "refused"
    assert {scope: _counters(db, scope) for scope in (alice.id, "global")} == after
    finish(alice, turn)


def test_a_reservation_covers_the_dearest_route(alice: Person, model: Models, db: Database) -> None:
    """If the second model of an alias costs ten times the first, the reservation is the second's cost."""
    cheap, dear = model("echo", _PRICED), model("echo", '{"input": 10, "output": 20}')
    db.execute(
        "insert into public.llm_routes (alias, model_key, weight, fallback_order) "
        "values ('two-prices', %s, 1, 1), ('two-prices', %s, 1, 2)",
        [cheap, dear],
    )
    try:
        assert _reserve(alice, "two-prices") == _reserve(alice, dear) == 10 * _reserve(alice, cheap)
    finally:
        db.execute("delete from public.llm_routes where alias = 'two-prices'")


def test_a_turn_is_charged_to_the_month_in_which_it_began(alice: Person, model: Models, db: Database) -> None:
    """A turn begun on the last day of last month changes last month's counter and not this month's."""
    turn = begin(alice, model("echo", _PRICED))
    last = "date_trunc('month', now() at time zone 'utc')::date - 1"
    db.execute(f"update private.turns set day = {last} where id = %s", [turn["turn_id"]])
    db.execute(
        f"update public.usage_counters set period_start = case period when 'day' then {last} "
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
    name = model("echo", _PRICED)
    reserve = _reserve(alice, name)
    _limit(db, alice, daily_cost_usd=reserve * 100, monthly_cost_usd=reserve * 3)
    turn = begin(alice, name)
    assert Decimal(str(turn["limits"]["budget_remaining_usd"])) == reserve * 2
    again = asked(alice, name, **KEY)
    assert Decimal(str(again.json()["limits"]["budget_remaining_usd"])) == reserve


def test_two_people_do_not_share_a_personal_cap(alice: Person, model: Models, db: Database) -> None:
    """One person's exhausted budget leaves another person's turns alone."""
    name = model("echo", _PRICED)
    _limit(db, alice, daily_cost_usd=Decimal(0))
    assert (asked(alice, name).status_code, asked(sign_up(alice.stack), name).status_code) == (402, 200)


@pytest.mark.parametrize("end", ["finish", "sweep"])
def test_a_counter_that_holds_too_little_stops_neither_finish_nor_sweep(
    alice: Person, bob: Person, model: Models, db: Database, end: str
) -> None:
    """A turn that reserves more than its user's counters hold is closed, and so are the turns of others."""
    name = model("echo", _PRICED)
    wrong, right = begin(alice, name), begin(bob, name)
    db.execute("update public.usage_counters set reserved_usd = 0 where scope = %s", [alice.id])
    if end == "sweep":
        die(db, wrong, right)
        assert sweep(alice.stack) >= 2
    else:
        assert [finish(alice, wrong)["outcome"], finish(bob, right)["outcome"]] == ["settled", "settled"]
    for person in (alice, bob):
        assert {row["reserved_usd"] for row in _counters(db, person.id).values()} == {0}
        assert [row["status"] for row in person.rows("chat_logs")] == ["completed" if end == "finish" else "abandoned"]


def _details(refused: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(refused.json()["details"])["metadata"]
    return found
