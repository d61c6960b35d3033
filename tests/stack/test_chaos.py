"""The ledger's invariants after many concurrent faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared import spool
from tests.stack.chaos import Chaos
from tests.stack.conftest import Models
from tests.stack.ledger_client import WAYS
from tests.stack.people import Stack, sign_up
from tests.stack.turns import Database

_NAMES = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY")
_PEOPLE, _TURNS, _WORKERS, _CAP = 4, 240, 16, 50


def keep(entry: dict[str, Any], user_id: str) -> None:
    """Puts an entry into the spool, as a turn does that ends without a database."""
    assert asyncio.run(spool.keep(spool.record_of(entry, user_id)))


def _one(db: Database, query: str, *values: Any) -> Any:
    row = db.execute(query, list(values)).fetchone()
    assert row is not None
    return next(iter(row.values()))


@pytest.mark.parametrize("way", WAYS)
def test_after_chaos_logs_counters_and_truth_agree_to_the_last_digit(
    stack: Stack, db: Database, model: Models, environ: Callable[..., None], tmp_path: Path, way: str
) -> None:
    """No user exceeds a cap, every turn has one row, every cent is booked once, and nothing stays reserved."""
    environ(**{name: stack[name] for name in _NAMES}, SPOOL_URL=tmp_path.as_uri())
    (tmp_path / "poison.json").write_text('{"version": 1, "entry": "none"}')
    people = [sign_up(stack) for _ in range(_PEOPLE)]
    ids = [person.id for person in people]
    for person in people:
        db.execute("insert into public.usage_limits (scope, daily_requests) values (%s, %s)", [person.id, _CAP])
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    before = _one(db, deadlocks)
    spent_by_all = (
        "select coalesce(sum(spent_usd), 0) from public.usage_counters where scope = 'global' and period = 'day'"
    )
    global_before = _one(db, spent_by_all)

    truth = Chaos(stack, people, model("echo"), keep, way=way).run(_TURNS, _WORKERS)

    assert list(tmp_path.iterdir()) == []
    assert (
        _one(db, "delete from private.spool_quarantine where object_key = 'poison.json' returning reason")
        == "wrong_entry"
    )
    assert truth.killed > 0
    assert truth.refused > 0
    stored = db.execute("delete from public.ai_insights where kind = 'chaos' returning cost_usd").fetchall()
    assert stored
    rows = db.execute("select * from public.chat_logs where user_id = any(%s::uuid[])", [ids]).fetchall()
    assert truth.admitted <= {str(row["turn_id"]) for row in rows}
    assert len(rows) == len({row["turn_id"] for row in rows})
    logged = sum((row["cost_usd"] or Decimal(0) for row in rows), Decimal(0))
    counters = db.execute("select * from public.usage_counters where scope = any(%s)", [ids]).fetchall()
    for period in ("day", "month"):
        assert sum(c["spent_usd"] for c in counters if c["period"] == period) == truth.spent == logged
    for counter in counters:
        assert counter["spent_usd"] == truth.by_person[counter["scope"]]
        assert counter["reserved_usd"] == 0
        assert counter["requests"] <= _CAP
    assert _one(db, spent_by_all) - global_before == truth.spent
    assert (
        _one(db, "select count(*) from private.turns where user_id = any(%s::uuid[]) and state = 'started'", ids) == 0
    )
    assert _one(db, deadlocks) == before
