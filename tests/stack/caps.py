"""Caps and counters of tests: global caps with room for so much, counters of a scope, and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.stack.people import Person
from tests.stack.turns import Database, asked

PRICED = '{"input": 1, "output": 2}'


@pytest.fixture
def global_caps(db: Database) -> Iterator[Callable[..., None]]:
    """Sets global caps for this test, each above what is used now by the amount given."""
    before = db.execute("select * from public.usage_limits where scope = 'global'").fetchone()

    def allow(**more: Any) -> None:
        caps = dict.fromkeys(("daily_requests", "daily_cost_usd", "monthly_cost_usd"))
        for name, amount in more.items():
            period, _, kind = name.partition("ly_")
            row = counters(db, "global")["day" if period == "dai" else "month"]
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


def counters(db: Database, scope: str) -> dict[str, dict[str, Any]]:
    """The counters of the current day and month, by period; zeros where there is no row yet."""
    rows = db.execute(
        """select p.period, coalesce(c.requests, 0) as requests, coalesce(c.spent_usd, 0) as spent_usd,
             coalesce(c.reserved_usd, 0) as reserved_usd, coalesce(c.input_tokens, 0) as input_tokens,
             coalesce(c.output_tokens, 0) as output_tokens
           from (values ('day'), ('month')) as p (period) left join public.usage_counters as c
             on c.scope = %s and c.period = p.period
               and c.period_start = date_trunc(p.period, now() at time zone 'utc')::date""",
        [scope],
    ).fetchall()
    return {row.pop("period"): row for row in rows}


def reserve_of(person: Person, model: str) -> Decimal:
    """What one turn reserves."""
    dry = asked(person, model, dry_run=True)
    assert dry.status_code == 200, dry.text
    return Decimal(str(dry.json()["reserve_usd"]))


def details_of(refused: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(refused.json()["details"])["metadata"]
    return found
