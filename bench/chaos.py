"""The ledger's invariants at full size, over both ways to it: killed backends, sweeps and spool drains."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from shared import spool
from shared.config import settings
from tests.stack.chaos import INPUT_USD, OUTPUT_USD, Chaos
from tests.stack.ledger_client import WAYS
from tests.stack.people import Stack, sign_up

_USERS, _TURNS, _WORKERS, _CAP = 8, 3000, 32, 300
_NAMES = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY")
_MODEL = "bench-chaos"


def measure(stack: Mapping[str, str]) -> None:
    """Prints the injected faults, and whether logs, counters and real costs agree to the last digit."""
    for way in WAYS:
        _measure(stack, way)


def _measure(stack: Mapping[str, str], way: str) -> None:
    model = f"{_MODEL}-{way.replace(' ', '-')}"
    with tempfile.TemporaryDirectory() as folder, psycopg.connect(stack["DATABASE_URL"], autocommit=True) as db:
        os.environ.update({name: stack[name] for name in _NAMES}, SPOOL_URL=Path(folder).as_uri())
        settings.cache_clear()
        users = [sign_up(Stack(dict(stack))) for _ in range(_USERS)]
        ids = [user.id for user in users]
        for each in ids:
            db.execute("insert into public.usage_limits (scope, daily_requests) values (%s, %s)", [each, _CAP])
        pricing = f'{{"input": {INPUT_USD * 1_000_000}, "output": {OUTPUT_USD * 1_000_000}}}'
        db.execute(
            "insert into public.llm_models (model_key, model_name, provider, upstream_id, pricing) "
            "values (%s, %s, 'openai', %s, %s)",
            [model, model, model, pricing],
        )
        started = time.perf_counter()
        chaos = Chaos(Stack(dict(stack)), users, f"openai:{model}", _keep, way=way)
        truth = chaos.run(_TURNS, _WORKERS)
        took = time.perf_counter() - started
        logged = _sum(db, "select sum(cost_usd) from public.chat_logs where user_id = any(%s::uuid[])", ids)
        spent = _sum(
            db, "select sum(spent_usd) from public.usage_counters where period = 'day' and scope = any(%s)", ids
        )
        held = _sum(db, "select sum(reserved_usd) from public.usage_counters where scope = any(%s)", ids)
        deadlocks = _sum(db, "select deadlocks from pg_stat_database where datname = current_database()")
    print(f"chaos over the {way}, {_TURNS} turns of {_USERS} users by {_WORKERS} workers in {took:.0f} s")
    print(f"  admitted {len(truth.admitted)}, refused {truth.refused}, backends killed during a call {truth.killed}")
    print(f"  USD really spent {truth.spent}, in logs {logged}, in counters {spent}, still reserved {held}")
    print(f"  deadlocks {deadlocks}; {'all agree' if truth.spent == logged == spent and not held else 'THEY DIFFER'}")


def _keep(entry: dict[str, Any], user_id: str) -> None:
    asyncio.run(spool.keep(spool.record_of(entry, user_id)))


def _sum(db: psycopg.Connection[Any], query: str, *values: Any) -> Decimal:
    row = db.execute(query, values).fetchone()
    return Decimal(row[0] or 0) if row else Decimal(0)
