"""Forecasts hold on synthetic seasons, injected spikes are found, and a quiet month raises nothing."""

from __future__ import annotations

import math
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.stack.people import Person, new_admin
from tests.stack.turns import Database

_START = datetime(2025, 1, 6, tzinfo=UTC)  # a Monday
_HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def undone(db: Database) -> Iterator[None]:
    """The roll-up of a test is undone with it."""
    with db.transaction(force_rollback=True):
        yield


def _season(chance: random.Random, hours: int, noise: float) -> list[float]:
    """US dollars of each hour: busy at noon, quiet at weekends, and noisy."""
    costs = []
    for number in range(hours):
        day, hour = divmod(number, 24)
        busy = 1 + math.sin((hour - 6) / 24 * 2 * math.pi)
        weekday = 0.3 if day % 7 > 4 else 1.0
        costs.append(round(3 * busy * weekday * chance.lognormvariate(0, noise), 6))
    return costs


def _user(db: Database) -> str:
    user = str(uuid.uuid4())
    db.execute("insert into auth.users (id, email) values (%s, %s)", [user, f"{user}@example.com"])
    return user


def _spend(db: Database, user: str, costs: list[float], start: datetime = _START) -> None:
    with db.cursor() as cursor:
        cursor.executemany(
            "insert into public.usage_hourly (hour, user_id, requests, cost_usd) values (%s, %s, 1, %s)",
            [(start + number * _HOUR, user, cost) for number, cost in enumerate(costs) if cost],
        )


def _forecast(db: Database, scope: str, at: datetime) -> dict[str, dict[str, Any]]:
    rows = db.execute("select * from private.forecast_at(%s, %s)", [scope, at]).fetchall()
    return {row["period"]: row for row in rows}


def test_the_truth_lies_in_the_range_as_often_as_it_says(db: Database) -> None:
    """Of 80 forecasts of a day at 10 o'clock at least 65 %, and not all, hold; their mean error is low."""
    chance, held, errors = random.Random(5), [], []  # noqa: S311 - dice
    for _ in range(4):
        user, costs = _user(db), _season(chance, 24 * 75, 0.35)
        _spend(db, user, costs)
        for day in range(30, 70, 2):
            at = _START + timedelta(days=day, hours=10)
            found = _forecast(db, user, at)
            number = day * 24 + 10
            rest = sum(costs[number : (day + 1) * 24])
            row = found["day"]
            spent = row["spent_usd"]
            held.append(float(row["low_usd"] - spent) <= rest <= float(row["high_usd"] - spent))
            errors.append(float(row["forecast_usd"] - spent) / rest - 1)
    assert 0.65 <= sum(held) / len(held) < 1
    assert abs(sum(errors) / len(errors)) < 0.12


def test_a_forecast_is_the_median_of_the_last_four_weeks(db: Database) -> None:
    """Each remaining hour counts its own median; the current hour counts for its rest."""
    user = _user(db)
    costs = [0.0] * (24 * 28)
    for week, cost in enumerate((1.0, 5.0, 3.0, 9.0)):
        costs[week * 168 + 22] = cost
        costs[week * 168 + 23] = 2 * cost
    costs[0] = 0.5  # the first use is four weeks ago
    _spend(db, user, costs)
    at = _START + timedelta(days=28, hours=22, minutes=30)
    row = _forecast(db, user, at)["day"]
    assert (row["forecast_usd"], row["is_enough_data"]) == (pytest.approx(4 / 2 + 8), True)
    assert row["low_usd"] < row["forecast_usd"] < row["high_usd"]


def test_under_three_days_there_is_no_forecast(db: Database) -> None:
    """A short history says so, and so does none."""
    user = _user(db)
    for costs in ([], [1.0] * 70):
        _spend(db, user, costs)
        row = _forecast(db, user, _START + timedelta(hours=71))["month"]
        assert (row["forecast_usd"], row["is_enough_data"]) == (None, False)
    assert _forecast(db, user, _START + timedelta(hours=73))["month"]["is_enough_data"]


def test_it_says_when_a_cap_is_reached(db: Database) -> None:
    """The hour in which spent and expected cost pass the cap, for the user's own cap and the period."""
    user = _user(db)
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, 5)", [user])
    _spend(db, user, [1.0] * 24 * 30)
    at = _START + timedelta(days=30)
    found = _forecast(db, user, at)
    assert found["day"]["reached_at"] == at + 5 * _HOUR
    assert (found["day"]["cap_usd"], found["month"]["cap_usd"], found["month"]["reached_at"]) == (5, None, None)
    db.execute(
        """insert into public.usage_counter_slots (scope, period, period_start, spent_usd)
           values (%s, 'day', %s, 5)""",
        [user, at.date()],
    )
    assert _forecast(db, user, at)["day"]["reached_at"] == at


def _anomalies(db: Database, user: str, at: datetime, hours: int = 24) -> list[datetime]:
    rows = db.execute("select hour from private.anomalies_at(%s, %s, %s, 1)", [user, at, hours]).fetchall()
    return [row["hour"] for row in rows]


def test_spikes_are_found_and_quiet_months_are_quiet(db: Database) -> None:
    """In thirty days of noise no hour is an anomaly; three injected spikes are, and only they."""
    chance = random.Random(11)  # noqa: S311 - dice
    user = _user(db)
    costs = _season(chance, 24 * 60, 0.2)
    _spend(db, user, costs)
    at = _START + timedelta(days=60)
    assert _anomalies(db, user, at, 24 * 30) == []
    spikes = [_START + timedelta(days=day, hours=hour) for day, hour in ((35, 3), (44, 13), (57, 20))]
    db.execute(
        "update public.usage_hourly set cost_usd = cost_usd + 60 where hour = any(%s) and user_id = %s", [spikes, user]
    )
    assert _anomalies(db, user, at, 24 * 30) == spikes


def test_small_amounts_and_first_days_are_no_anomalies(db: Database) -> None:
    """Below the floor, or without three days before, an hour is not judged."""
    user = _user(db)
    _spend(db, user, [0.001] * 24 * 20)
    at = _START + timedelta(days=20)
    change = "update public.usage_hourly set cost_usd = %s where hour = %s and user_id = %s"
    db.execute(change, [0.9, at - _HOUR, user])
    assert _anomalies(db, user, at) == []
    db.execute(change, [1.2, at - _HOUR, user])
    assert _anomalies(db, user, at) == [at - _HOUR]
    db.execute(change, [50, _START + 30 * _HOUR, user])
    assert _anomalies(db, user, _START + 31 * _HOUR) == []


def test_users_forecast_themselves_and_admins_all(alice: Person, bob: Person) -> None:
    """Another user's scope and the global one are 403, for an admin they are answers."""
    admin = new_admin(alice.stack)
    for name in ("cost_forecast", "cost_anomalies"):
        for scope in (bob.id, "global"):
            assert alice.rest("POST", f"rpc/{name}", json={"scope": scope}).status_code == 403
            assert admin.rest("POST", f"rpc/{name}", json={"scope": scope}).status_code == 200
        assert alice.rest("POST", f"rpc/{name}", json={"scope": alice.id}).status_code == 200
    assert {row["period"] for row in alice.rest("POST", "rpc/cost_forecast", json={}).json()} == {"day", "month"}
