"""Alerts of unusual hours and of forecasts, through refresh and its webhook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.stack.alerts import Webhook
from tests.stack.people import Person, Stack
from tests.stack.test_alerts import _clean, webhook
from tests.stack.turns import Database

__all__ = ["_clean", "webhook"]  # fixtures
Run = Callable[[], list[str]]


@pytest.fixture
def run(stack: Stack, webhook: Webhook, function: Callable[..., Any], db: Database, alice: Person) -> Iterator[Run]:
    """Runs the step alerts, and gives the texts that the webhook took from this run. Removes alice's hours."""
    webhook.is_up = True
    url, _ = function("refresh", ALERT_WEBHOOK_URL=webhook.url)
    headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}

    def texts() -> list[str]:
        before = len(webhook.texts)
        answer = httpx.post(url, json={"steps": ["alerts"]}, headers=headers, timeout=30)
        assert answer.json()["steps"]["alerts"]["ok"], answer.text
        return webhook.texts[before:]

    yield texts
    db.execute("delete from public.usage_hourly where user_id = %s", [alice.id])


def _hours(db: Database, person: Person, usd: float, first: int, last: int) -> None:
    """Books a cost for each of the hours that many hours ago."""
    db.execute(
        """insert into public.usage_hourly (hour, user_id, requests, cost_usd)
           select date_trunc('hour', now(), 'UTC') - make_interval(hours => n), %s, 1, %s
           from generate_series(%s::integer, %s) as n
           on conflict do nothing""",
        [person.id, usd, first, last],
    )


def _greatest_hour(db: Database) -> float:
    """The most that all users together cost in an hour."""
    row = db.execute(
        "select max(usd) from (select sum(cost_usd) as usd from public.usage_hourly group by hour) as hours"
    ).fetchone()
    return float(row["max"] or 0) if row else 0.0


def _of(texts: list[str], person: Person) -> list[str]:
    return [text for text in texts if person.id in text]


def test_a_quiet_month_raises_nothing(alice: Person, db: Database, run: Run) -> None:
    """Equal hours of a month are neither unusual nor near a cap."""
    _hours(db, alice, 2, 0, 24 * 30)
    _spend(db, alice, day=25, month=700, daily_cap=100, monthly_cap=2500)
    assert _of(run(), alice) == []


def test_an_unusual_hour_is_one_alert_until_the_day_after(alice: Person, db: Database, run: Run) -> None:
    """The user's hour is named once; when no hour of the last 24 is unusual, a recovery follows once."""
    _hours(db, alice, 90, 0, 0)
    _hours(db, alice, 2, 1, 24 * 20)
    (text,) = _of(run(), alice)
    assert "an hour of user" in text
    assert "cost 90 USD" in text
    assert "the usual is 2 USD" in text
    assert _of(run(), alice) == []
    db.execute("update public.usage_hourly set cost_usd = 2 where user_id = %s and cost_usd = 90", [alice.id])
    (text,) = _of(run(), alice)
    assert text.startswith("Parley: recovered")
    assert _of(run(), alice) == []


def test_an_unusual_hour_of_everyone_is_an_alert_of_its_own(alice: Person, db: Database, run: Run) -> None:
    """The scope global has its own row."""
    db.execute("delete from public.cost_alerts where scope = 'global' and threshold = 'anomaly'")
    usual = 10 * (1 + _greatest_hour(db))  # so that the hours of other tests make no difference
    _hours(db, alice, 1000 * usual, 0, 0)
    _hours(db, alice, usual, 1, 24 * 20)
    assert [text for text in run() if "an hour of everyone together" in text]
    row = db.execute("select * from public.cost_alerts where scope = 'global' and threshold = 'anomaly'").fetchone()
    assert row is not None
    db.execute("update public.usage_hourly set cost_usd = %s where user_id = %s", [usual, alice.id])
    assert [text for text in run() if text.startswith("Parley: recovered") and "everyone together" in text]


def test_a_forecast_over_the_cap_is_one_alert_and_one_recovery(alice: Person, db: Database, run: Run) -> None:
    """A higher cap ends it; a cap that was reached is no recovery."""
    _hours(db, alice, 2, 1, 24 * 30)
    _spend(db, alice, month=10.9999, monthly_cap=11)
    (text,) = [text for text in _of(run(), alice) if "forecast" in text]
    assert f"user {alice.id} will reach the cap 11 USD of the month" in text
    _spend(db, alice, month=12, monthly_cap=11)
    assert [text for text in _of(run(), alice) if "recovered" in text] == []
    _spend(db, alice, month=12, monthly_cap=100_000)
    assert len([text for text in _of(run(), alice) if "recovered" in text and "forecast" in text]) == 1
    assert _of(run(), alice) == []


def _spend(
    db: Database,
    person: Person,
    *,
    month: float,
    monthly_cap: float,
    day: float = 0,
    daily_cap: float | None = None,
) -> None:
    db.execute(
        "insert into public.usage_limits (scope, daily_cost_usd, monthly_cost_usd) values (%s, %s, %s)"
        " on conflict (scope) do update set monthly_cost_usd = excluded.monthly_cost_usd",
        [person.id, daily_cap, monthly_cap],
    )
    for period, usd in (("day", day), ("month", month)):
        db.execute(
            """insert into public.usage_counter_slots (scope, period, period_start, spent_usd, requests)
               values (%s, %s, date_trunc(%s, now() at time zone 'utc')::date, %s, 1)
               on conflict (scope, period, period_start, slot) do update set spent_usd = excluded.spent_usd""",
            [person.id, period, period, usd],
        )
