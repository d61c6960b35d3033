"""is_adaptive: refresh sets a user's daily cap from the user's own use, within an admin's bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.stack.people import Person, Stack, new_admin, service
from tests.stack.turns import Database


@pytest.fixture(autouse=True)
def _removed(db: Database, alice: Person, bob: Person) -> Iterator[None]:
    """Removes the hours that a test books, because those of a deleted user stay."""
    yield
    db.execute("delete from public.usage_hourly where user_id in (%s, %s)", [alice.id, bob.id])


def _adaptive(db: Database, person: Person, low: float = 1, high: float = 20, cap: float | None = 5) -> None:
    db.execute(
        "insert into public.usage_limits (scope, daily_cost_usd, is_adaptive, adaptive_min_usd, adaptive_max_usd)"
        " values (%s, %s, true, %s, %s)",
        [person.id, cap, low, high],
    )


def _use(db: Database, person: Person, costs: list[float], first_day: int = 1) -> None:
    """Books a cost for each of the days before today, the latest first; half of it in each of two hours."""
    for ago, usd in enumerate(costs, first_day):
        for hour in (3, 22):
            db.execute(
                "insert into public.usage_hourly (hour, user_id, requests, cost_usd) values ("
                "(date_trunc('day', now() at time zone 'utc') - make_interval(days => %s, hours => -%s))"
                " at time zone 'utc', %s, 1, %s)",
                [ago, hour, person.id, usd / 2],
            )


def _adapt(stack: Stack, **fields: Any) -> int:
    answer = service(stack, "POST", "rpc/adapt_limits", json=fields)
    assert answer.status_code == 200, answer.text
    changed: int = answer.json()
    return changed


def _cap(db: Database, person: Person) -> float | None:
    row = db.execute("select daily_cost_usd from public.usage_limits where scope = %s", [person.id]).fetchone()
    assert row is not None
    return None if row["daily_cost_usd"] is None else float(row["daily_cost_usd"])


def test_the_cap_is_three_times_the_median_of_active_days(
    alice: Person, bob: Person, db: Database, stack: Stack
) -> None:
    """Days without a cost, today and days before the 28 do not count; the user and admins see the change."""
    _adaptive(db, alice, cap=None)
    _use(db, alice, [1, 2, 0, 3, 0, 100, 2])
    _use(db, alice, [50], first_day=0)
    _use(db, alice, [50] * 5, first_day=29)
    assert _adapt(stack) == 1
    assert _cap(db, alice) == 6
    (row,) = alice.rows("limit_changes")
    assert (row["old_daily_cost_usd"], row["new_daily_cost_usd"], row["median_usd"], row["active_days"]) == (
        None,
        6,
        2,
        5,
    )
    assert bob.rows("limit_changes") == []
    admin = new_admin(stack)
    assert len(admin.rows(f"limit_changes?user_id=eq.{alice.id}")) == 1
    assert alice.rows("rpc/my_limits")[0]["max_cost_usd"] == 6


@pytest.mark.parametrize(("costs", "cap"), [([0.01] * 9, 1), ([90] * 9, 20)], ids=["low", "high"])
def test_the_cap_stays_within_the_bounds(
    alice: Person, db: Database, stack: Stack, costs: list[float], cap: float
) -> None:
    """However little or much the user spends."""
    _adaptive(db, alice)
    _use(db, alice, costs)
    assert (_adapt(stack), _cap(db, alice)) == (1, cap)


def test_a_cap_changes_once_a_day(alice: Person, db: Database, stack: Stack) -> None:
    """A second run of the day changes nothing, also after new use; the next day it does."""
    _adaptive(db, alice)
    _use(db, alice, [2] * 6)
    assert (_adapt(stack), _adapt(stack)) == (1, 0)
    _use(db, alice, [3] * 9, first_day=8)
    assert (_adapt(stack), _cap(db, alice)) == (0, 6)
    db.execute("update public.limit_changes set day = day - 1 where user_id = %s", [alice.id])
    assert (_adapt(stack), _cap(db, alice)) == (1, 9)
    assert [row["new_daily_cost_usd"] for row in alice.rows("limit_changes?order=id")] == [6, 9]


def test_who_is_not_adaptive_or_rarely_active_keeps_the_cap(
    alice: Person, bob: Person, db: Database, stack: Stack
) -> None:
    """Four active days are too few; a row without is_adaptive is the admin's alone."""
    _adaptive(db, alice)
    _use(db, alice, [2] * 4)
    _adaptive(db, bob)
    db.execute("update public.usage_limits set is_adaptive = false where scope = %s", [bob.id])
    _use(db, bob, [2] * 9)
    assert (_adapt(stack), _cap(db, alice), _cap(db, bob)) == (0, 5, 5)


def test_a_dry_run_of_refresh_changes_nothing(alice: Person, db: Database, stack: Stack, refresh_url: str) -> None:
    """It says how many caps would change; the run after it changes them."""
    _adaptive(db, alice)
    _use(db, alice, [2] * 6)
    headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
    found = []
    for is_dry_run in (True, False):
        body = {"steps": ["limits"], "dry_run": is_dry_run}
        answer = httpx.post(refresh_url, json=body, headers=headers, timeout=30).json()
        found.append((answer["steps"]["limits"]["changed"], _cap(db, alice), len(alice.rows("limit_changes"))))
    assert found == [(1, 5, 0), (1, 6, 1)]


@pytest.mark.parametrize("bounds", [(None, 2), (1, None), (0, 2), (3, 2)])
def test_bounds_are_complete_and_in_order(db: Database, alice: Person, bounds: tuple[Any, Any]) -> None:
    """An adaptive cap has a lowest and a highest amount."""
    with pytest.raises(Exception, match="usage_limits_adaptive"):
        _adaptive(db, alice, *bounds)


def test_only_a_users_own_row_is_adaptive(db: Database) -> None:
    """A shared row has no use of its own to follow."""
    with pytest.raises(Exception, match="usage_limits_adaptive_check"):
        db.execute(
            "update public.usage_limits set is_adaptive = true, adaptive_min_usd = 1, adaptive_max_usd = 2"
            " where scope = 'default'"
        )
