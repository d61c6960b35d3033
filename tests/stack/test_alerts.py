"""Alerts: one row for each crossing, delivered until the webhook accepts it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.stack.alerts import Webhook, recover
from tests.stack.people import Person, Stack, service
from tests.stack.turns import Database


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A webhook on loopback that is down at first."""
    with Webhook() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _clean(db: Database) -> Iterator[None]:
    """Sends what earlier tests crossed, so that new alerts are this test's; removes its counters afterwards."""
    db.execute("select public.raise_cost_alerts(), public.raise_service_alerts(20, 0, 26)")
    db.execute("select public.recover_alerts(null, null, 20, 0, 26)")
    db.execute("update public.cost_alerts set notified_at = now() where notified_at is null")
    before = db.execute("select * from public.usage_counter_slots").fetchall()
    yield
    db.execute("update public.cost_alerts set notified_at = now() where notified_at is null")
    db.execute("delete from public.usage_counter_slots where scope <> all(%s)", [[row["scope"] for row in before]])
    for row in before:
        if row["scope"] == "global":
            db.execute(
                "update public.usage_counter_slots set spent_usd = %(spent_usd)s where (scope, period, period_start,"
                " slot) = (%(scope)s, %(period)s, %(period_start)s, %(slot)s)",
                row,
            )


def _spend(db: Database, scope: str, usd: float, requests: int = 1, period: str = "day", ago: str = "0 days") -> None:
    db.execute(
        """insert into public.usage_counter_slots (scope, period, period_start, spent_usd, requests)
           values (%s, %s, (date_trunc(%s, now() at time zone 'utc') - %s::interval)::date, %s, %s)
           on conflict (scope, period, period_start, slot) do update
             set spent_usd = excluded.spent_usd, requests = excluded.requests""",
        [scope, period, period, ago, usd, requests],
    )


def _cap(db: Database, scope: str, **caps: Any) -> None:
    row = {"daily_requests": None, "daily_cost_usd": None, "monthly_cost_usd": None} | caps
    db.execute(
        """insert into public.usage_limits (scope, daily_requests, daily_cost_usd, monthly_cost_usd)
           values (%s, %s, %s, %s)""",
        [scope, *row.values()],
    )


def _raise(stack: Stack, **thresholds: Any) -> int:
    answer = service(stack, "POST", "rpc/raise_cost_alerts", json=thresholds)
    assert answer.status_code == 200, answer.text
    raised: int = answer.json()
    return raised


def _thresholds(person: Person) -> list[tuple[str, str]]:
    return [(row["period"], row["threshold"]) for row in person.rows("cost_alerts?order=period,threshold")]


def test_every_threshold_is_raised_once_also_by_ten_runs_at_once(alice: Person, db: Database, stack: Stack) -> None:
    """50 % raises one alert, each higher threshold one more, and a repeated run none."""
    _cap(db, alice.id, daily_cost_usd=1, daily_requests=10)
    _spend(db, alice.id, 0.5, requests=4)
    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(lambda _: _raise(stack), range(10))) == 1
    assert _thresholds(alice) == [("day", "cost 50%")]
    _spend(db, alice.id, 1.01, requests=8)
    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(lambda _: _raise(stack), range(10))) == 4
    wanted = ["cost 100%", "cost 50%", "cost 80%", "requests 50%", "requests 80%"]
    assert _thresholds(alice) == [("day", threshold) for threshold in wanted]
    row = alice.rows("cost_alerts?threshold=eq.cost 80%25")[0]
    assert (row["scope"], row["amount"], row["cap"], row["notified_at"]) == (alice.id, 1.01, 1, None)


def test_caps_are_those_that_bind_the_person(alice: Person, bob: Person, db: Database, stack: Stack) -> None:
    """A user without a row has the caps of `default` or `anonymous`; a null cap has no threshold."""
    _cap(db, bob.id)
    anonymous = str(uuid.uuid4())
    db.execute("insert into auth.users (id, is_anonymous) values (%s, true)", [anonymous])
    for scope in (alice.id, bob.id, anonymous):
        _spend(db, scope, 0.15)
    _spend(db, alice.id, 26, period="month")
    assert _raise(stack) == 2
    assert _thresholds(alice) == [("month", "cost 50%")]
    assert _thresholds(bob) == []
    rows = db.execute("select threshold, cap from public.cost_alerts where scope = %s", [anonymous]).fetchall()
    assert [(row["threshold"], float(row["cap"])) for row in rows] == [("cost 50%", 0.2)]


def test_the_period_before_counts_and_older_ones_do_not(alice: Person, db: Database, stack: Stack) -> None:
    """A turn that is booked after midnight still raises the alert of its own day."""
    _cap(db, alice.id, daily_cost_usd=1, monthly_cost_usd=1)
    for ago, period in (("1 day", "day"), ("2 days", "day"), ("1 month", "month"), ("2 months", "month")):
        _spend(db, alice.id, 0.6, period=period, ago=ago)
    assert _raise(stack) == 2
    assert _thresholds(alice) == [("day", "cost 50%"), ("month", "cost 50%")]


def test_a_cap_whose_rest_pays_no_turn_is_reached(alice: Person, bob: Person, db: Database, stack: Stack) -> None:
    """The alert is raised when the rest is less than the mean cost of three or more turns; two are too few."""
    for person, requests in ((alice, 5), (bob, 2)):
        _cap(db, person.id, daily_cost_usd=1)
        _spend(db, person.id, 0.9, requests=requests)
    assert _raise(stack) == 5
    assert _thresholds(alice) == [("day", f"cost {percent}%") for percent in (100, 50, 80)]
    assert _thresholds(bob) == [("day", f"cost {percent}%") for percent in (50, 80)]
    _spend(db, alice.id, 0.6, requests=5, ago="1 day")
    assert _raise(stack) == 1


def test_the_amounts_of_all_together_are_alerts_of_their_own(alice: Person, db: Database, stack: Stack) -> None:
    """Each amount raises one alert; users do not see these alerts."""
    db.execute("delete from public.cost_alerts where threshold like '%USD'")
    used = db.execute(
        "select spent_usd from public.usage_counters where scope = 'global' and period = 'day'"
    ).fetchone()
    if used is None:
        _spend(db, "global", 1)
    else:
        db.execute("update public.usage_counter_slots set spent_usd = spent_usd + 0.003 where scope = 'global'")
    amounts = {"daily_usd": "0.0020", "monthly_usd": "1000000"}
    with ThreadPoolExecutor(10) as pool:
        raised = sum(pool.map(lambda _: _raise(stack, **amounts), range(10)))
    raised += _raise(stack, daily_usd=0.001, monthly_usd=0)
    rows = db.execute("select * from public.cost_alerts where threshold like '%USD' order by id").fetchall()
    today = max(row["period_start"] for row in rows)  # other tests may have spent money yesterday
    of_today = [row["threshold"] for row in rows if row["period_start"] == today]
    assert of_today == ["cost 0.002 USD", "cost 0.001 USD"]
    assert raised == len(rows)
    assert alice.rows("cost_alerts?scope=eq.global") == []


def test_people_see_their_own_alerts_only(alice: Person, bob: Person, db: Database, stack: Stack) -> None:
    """A user sees no alert of another user."""
    _cap(db, alice.id, daily_cost_usd=1)
    _spend(db, alice.id, 0.6)
    _raise(stack)
    assert (len(alice.rows("cost_alerts")), bob.rows("cost_alerts")) == (1, [])


def test_one_delivers_what_many_claim(alice: Person, db: Database, stack: Stack) -> None:
    """Of ten concurrent claims one gets each row; undelivered rows can be claimed again, delivered ones are done."""
    _cap(db, alice.id, daily_cost_usd=1, daily_requests=1, monthly_cost_usd=1)
    _spend(db, alice.id, 2, requests=1)
    _spend(db, alice.id, 2, period="month")
    assert _raise(stack) == 9

    def claim(_: int) -> list[dict[str, Any]]:
        claimed: list[dict[str, Any]] = service(stack, "POST", "rpc/claim_cost_alerts", json={"max_rows": 2}).json()
        return claimed

    with ThreadPoolExecutor(10) as pool:
        ids = [row["id"] for rows in pool.map(claim, range(10)) for row in rows]
    ids += [row["id"] for _ in range(5) for row in claim(0)]
    assert len(ids) == len(set(ids)) == 9
    settled = {"taken": ids[:6], "untaken": ids[6:8]}
    assert service(stack, "POST", "rpc/settle_cost_alerts", json=settled).json() == 3
    assert sorted(row["id"] for row in claim(0)) == sorted(ids[6:8])


def test_alerts_of_a_broken_webhook_are_sent_later_and_once(
    alice: Person, db: Database, stack: Stack, function: Any, webhook: Webhook
) -> None:
    """The step fails while the webhook is down, the next run delivers, and the one after has nothing to send."""
    _cap(db, alice.id, daily_cost_usd=1)
    _spend(db, alice.id, 0.9)
    url, _ = function("refresh", ALERT_WEBHOOK_URL=webhook.url)

    def run() -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
        answer = httpx.post(url, json={"steps": ["alerts"]}, headers=headers, timeout=30)
        assert "secret" not in answer.text
        step: dict[str, Any] = answer.json()["steps"]["alerts"]
        return {name: step[name] for name in ("ok", "raised", "delivered", "pending")}

    assert run() == {"ok": False, "raised": 2, "delivered": 0, "pending": 2}
    assert (webhook.refused, webhook.texts) == (2, [])
    webhook.is_up = True
    assert run() == {"ok": True, "raised": 0, "delivered": 2, "pending": 0}
    assert run() == {"ok": True, "raised": 0, "delivered": 0, "pending": 0}
    assert [f"user {alice.id} used 0.9 USD" in text for text in webhook.texts] == [True, True]
    assert ["50% of the cap 1" in webhook.texts[0], "80% of the cap 1" in webhook.texts[1]] == [True, True]
    assert {row["notified_at"] is None for row in alice.rows("cost_alerts")} == {False}


def test_without_a_webhook_the_rows_wait(alice: Person, db: Database, stack: Stack) -> None:
    """Refresh raises alerts without a webhook, too."""
    _cap(db, alice.id, daily_cost_usd=1)
    _spend(db, alice.id, 0.9)
    headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
    answer = httpx.post(stack["REFRESH_URL"], json={"steps": ["alerts"]}, headers=headers, timeout=30).json()
    step = answer["steps"]["alerts"]
    assert (step["ok"], step["raised"], step["delivered"], step["pending"]) == (True, 2, 0, 2)


def test_a_raised_cap_is_a_recovery_once(alice: Person, db: Database, stack: Stack) -> None:
    """Thresholds that are still crossed have none; the alerts stay as they were."""
    _cap(db, alice.id, daily_cost_usd=1)
    _spend(db, alice.id, 0.9)
    assert (_raise(stack), recover(stack)) == (2, 0)
    db.execute("update public.usage_limits set daily_cost_usd = 1.5 where scope = %s", [alice.id])
    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(lambda _: recover(stack), range(5))) == 1
    rows = alice.rows("cost_alerts?order=id")
    shown = [(row["threshold"], row["cap"], row["is_recovery"], row["recovered_at"] is not None) for row in rows]
    assert shown == [
        ("cost 50%", 1, False, False),
        ("cost 80%", 1, False, True),
        ("cost 80%", 1, True, False),
    ]
    assert _raise(stack) == 0


def test_the_end_of_a_period_is_no_recovery(alice: Person, db: Database, stack: Stack) -> None:
    """The alert of a day says its day; the next day needs no notice."""
    _cap(db, alice.id, daily_cost_usd=1)
    _spend(db, alice.id, 0.9, ago="1 day")
    assert (_raise(stack), recover(stack)) == (2, 0)
    db.execute("update public.cost_alerts set period_start = period_start - 1 where scope = %s", [alice.id])
    assert recover(stack) == 0
