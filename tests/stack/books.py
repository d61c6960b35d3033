"""Corrections of costs as an operator makes them, and the sums that must follow."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.stack.people import Person
from tests.stack.turns import Database


def set_price(db: Database, model: str, pricing: str | None) -> None:
    """Changes the price of a model in the catalogue."""
    db.execute("update public.llm_models set pricing = %s where identifier = %s", [pricing, model])


def reprice(db: Database, model: str, *, dry_run: bool = True) -> list[dict[str, Any]]:
    """The rows of `reprice` for one model over the last ten days."""
    return db.execute(
        "select * from public.reprice(now() - interval '10 days', now() + interval '1 day', %s, array[%s])",
        [dry_run, model],
    ).fetchall()


def spent(db: Database, scope: str) -> dict[str, Decimal]:
    """US dollars in the counters of the current day and month; without a counter the period is missing."""
    rows = db.execute(
        """select period, spent_usd from public.usage_counters where scope = %s
           and period_start = date_trunc(period, now() at time zone 'utc')::date""",
        [scope],
    )
    return {row["period"]: row["spent_usd"] for row in rows}


def totals(db: Database, person: Person, model: str) -> dict[str, Any]:
    """What all sums say about a user's turns with a model."""
    rolled = db.execute(
        "select sum(cost_usd) as usd, sum(unpriced_requests) as unpriced from public.usage_hourly "
        "where user_id = %s and model_identifier = %s",
        [person.id, model],
    ).fetchone()
    conversations = db.execute(
        "select sum(total_cost) as usd from public.llm_conversations where user_id = %s", [person.id]
    ).fetchone()
    return {"counters": spent(db, person.id), "rolled": rolled, "conversations": conversations}
