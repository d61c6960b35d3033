"""The ledger in the database: one client, many clients with one global cap, and growing logs."""

from __future__ import annotations

import json
import statistics
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from local.users import access_token

_ROUNDS = 300
_CLIENTS = 16
_SECONDS = 5.0
_SIZES = (1_000, 100_000, 2_000_000)
_AIM_MS, _AIM_TURNS = 8, 300
_MODEL = "gpt-4o"

Connection = psycopg.Connection[Any]


def measure(stack: Mapping[str, str]) -> None:
    """Prints the time of a turn beside a bare insert of its row, with growing logs, and the turns per second."""
    access_token(stack["SUPABASE_URL"], stack["SUPABASE_SERVICE_KEY"], "bench@parley.local")
    with psycopg.connect(stack["DATABASE_URL"], autocommit=True) as db:
        user_id = str(_one(db, "select id from auth.users where email = 'bench@parley.local'"))
        _lift_caps(db, user_id)
        _bare_table(db)
        print("ledger, one client, median of begin + finish in the database")
        insert = _median(lambda: _insert(db))
        for size in (0, *_SIZES):
            _grow(db, size)
            scans = _scans(db)
            turn = _median(lambda: _turn(db, user_id))
            read = [after - before for before, after in zip(scans, _scans(db), strict=True)]
            rows = _one(db, "select count(*) from public.chat_logs")
            print(
                f"  {rows:9,d} log rows {turn:7.2f} ms   (aim: under {_AIM_MS})   {turn / insert:4.1f} x a bare insert "
                f"({insert:.2f} ms); in {_ROUNDS} turns {read[0]} scans of all logs, {read[1]} by key"
            )
    _print_throughput(stack, user_id)


def _print_throughput(stack: Mapping[str, str], user_id: str) -> None:
    turns = _rate(stack, lambda db: _turn(db, user_id))
    inserts = _rate(stack, _insert)
    print(f"ledger, {_CLIENTS} clients with one global cap")
    print(f"  turns        {turns:7.0f} a second   (aim: at least {_AIM_TURNS})")
    print(f"  bare inserts {inserts:7.0f} a second   {inserts / turns:.1f} x as many")


def _one(db: Connection, query: str, *values: Any) -> Any:
    row = db.execute(query, values).fetchone()
    if row is None:
        raise SystemExit(f"no answer to {query}")
    return row[0]


def _lift_caps(db: Connection, user_id: str) -> None:
    db.execute("insert into public.usage_limits (scope) values (%s) on conflict do nothing", [user_id])
    db.execute("update public.usage_limits set daily_cost_usd = 1e6, monthly_cost_usd = 1e6 where scope = 'global'")


def _bare_table(db: Connection) -> None:
    """Creates a log table without constraints: the cost of a turn without guarantees."""
    db.execute("create table private.bench_rows (like public.chat_logs)")


def _turn(db: Connection, user_id: str) -> None:
    turn = {"turn_id": str(uuid.uuid4()), "worker_id": str(uuid.uuid4()), "endpoint": "bench", "message": "hi"}
    _call(db, "chat_begin", turn | {"model": _MODEL}, {"sub": user_id, "role": "authenticated"})
    usage = {"input_tokens": 10, "output_tokens": 5, "cached_tokens": 0, "source": "provider"}
    entry = {"turn_id": turn["turn_id"], "worker_id": turn["worker_id"], "status": "completed"}
    entry |= {"content": "hello", "response": "hello", "usage": usage}  # type: ignore[dict-item]
    _call(db, "chat_finish", entry, {"role": "service_role"})


def _call(db: Connection, function: str, argument: dict[str, Any], claims: dict[str, str]) -> None:
    with db.transaction():
        db.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)])
        db.execute(f"set local role {claims['role']}")
        db.execute(f"select public.{function}(%s)", [Jsonb(argument)])


def _insert(db: Connection) -> None:
    db.execute(
        "insert into private.bench_rows (id, turn_id, endpoint, status, question, response, tools_used, "
        "escalation_suggested, attempts, metadata, created_at) "
        "values (1, %s, 'bench', 'completed', 'hi', 'hello', '[]', false, '[]', '{}', now())",
        [str(uuid.uuid4())],
    )


def _median(act: Any) -> float:
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        act()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def _rate(stack: Mapping[str, str], act: Any) -> float:
    def work(_: int) -> int:
        done = 0
        with psycopg.connect(stack["DATABASE_URL"], autocommit=True) as db:
            while time.perf_counter() < until:
                act(db)
                done += 1
        return done

    until = time.perf_counter() + _SECONDS
    with ThreadPoolExecutor(_CLIENTS) as pool:
        return sum(pool.map(work, range(_CLIENTS))) / _SECONDS


def _grow(db: Connection, size: int) -> None:
    missing = size - _one(db, "select count(*) from public.chat_logs")
    if missing <= 0:
        return
    db.execute("alter table public.chat_logs disable trigger user")  # made-up rows need no roll-up
    db.execute(
        "insert into public.chat_logs (turn_id, endpoint, status, question, response, cost_usd, created_at) "
        "select gen_random_uuid(), 'bench', 'completed', 'a question', 'an answer', 0.001, "
        "now() - (n || ' seconds')::interval from generate_series(1, %s) as n",
        [missing],
    )
    db.execute("alter table public.chat_logs enable trigger user")
    db.execute("analyze public.chat_logs")


def _scans(db: Connection) -> tuple[int, int]:
    db.execute("select pg_stat_force_next_flush()")
    row = db.execute(
        "select seq_scan, idx_scan from pg_stat_user_tables where schemaname = 'public' and relname = 'chat_logs'"
    ).fetchone()
    return (0, 0) if row is None else (row[0], row[1])
