"""The functions of the analytics pages over a year: a million turns of 2,000 users in 400 days."""

from __future__ import annotations

import math
import statistics
import time
from pathlib import Path
from typing import Any

import psycopg

from bench import database, figures
from bench.figures import Column, Figures
from bench.run import Run

PEOPLE = 2000
DAYS = 400
_READER = 1234
_CALLS = 12
# A session is four turns of one user with one model and agent; busy hours are those of an office.
_TURNS_SQL = f"""
insert into public.chat_logs (turn_id, user_id, endpoint, status, input_tokens, output_tokens, cached_tokens,
    usage_source, cost_usd, cached_cost_usd, output_cost_usd, reasoning_cost_usd, provider, model_identifier,
    agent_type, duration_ms, ttft_ms, attempts, rating, escalation_suggested, domain_classification,
    context_size_tokens, history_shown, history_left_out, tools_used, error_code, created_at)
  select md5('report-' || n)::uuid, {database.PERSON.format(n=f"(1 + (n / 4 * 7919) %% {PEOPLE})")},
    case n / 4 %% 3 when 0 then 'chat.completions' else 'chat' end,
    case when n %% 50 = 0 then 'failed' else 'completed' end,
    200 + n %% 3000, 50 + n %% 700, n %% 100, 'provider', 0.0001 * (1 + n %% 30), 0.000001, 0.00005, 0,
    split_part('openai,openai,openai,google,google,anthropic', ',', 1 + n / 4 %% 6), 'model-' || n / 4 %% 6,
    split_part('general,general,technical,research', ',', 1 + n / 4 %% 4), 300 + (n * 37) %% 9000,
    100 + (n * 13) %% 900, '[{{"ok": true}}]', case when n %% 20 = 0 then 1 + n %% 5 end, n %% 40 = 0, 'general',
    200 + n %% 9000,
    n %% 20, n %% 3, case when n %% 10 = 0 then '[{{"name": "search", "ms": 5, "ok": true}}]' else '[]' end::jsonb,
    case when n %% 50 = 0 then 'provider_error' end,
    now() - interval '{DAYS} days' * (1 - (n / 4) * 4 / %(size)s::double precision) - interval '20 seconds' * (n %% 4)
  from generate_series(%(first)s::integer, %(last)s::integer) as n
"""
_YEAR, _MONTH = f"now() - interval '{DAYS - 1} days', now()", "now() - interval '30 days', now()"
_REPORT = "select * from public.usage_report('{}', {}, {}, {}, '{}')"
QUERIES = {
    f"{name}, {span_name}": query.replace("SPAN", span)
    for span_name, span in (("30 days", _MONTH), ("year", _YEAR))
    for name, query in {
        "cost by day": _REPORT.format("cost_usd", "null", "'day'", "SPAN", "UTC"),
        "cost by model and day": _REPORT.format("cost_usd", "'model'", "'day'", "SPAN", "UTC"),
        "cost by model and week, Kolkata": _REPORT.format("cost_usd", "'model'", "'week'", "SPAN", "Asia/Kolkata"),
        "cost by person": _REPORT.format("cost_usd", "'person'", "null", "SPAN", "UTC"),
        "p95 by model": _REPORT.format("duration_p95", "'model'", "null", "SPAN", "UTC"),
        "satisfaction by agent": _REPORT.format("satisfaction", "'agent'", "null", "SPAN", "UTC"),
        "cost by provider": "select * from public.cost_by_provider(SPAN)",
        "agent performance": "select * from public.agent_performance(SPAN)",
        "cost breakdown": "select * from public.cost_breakdown(SPAN)",
        "user cost efficiency": "select * from public.user_cost_efficiency(SPAN)",
        "usage by day": "select * from public.usage_by_day(SPAN)",
        "context effectiveness": "select * from public.context_effectiveness(SPAN)",
        "escalation success": "select * from public.escalation_success(SPAN)",
        "tools": "select * from public.tool_popularity(SPAN)",
    }.items()
    if (name, span_name) != ("usage by day", "year")  # at most 62 days of all users
} | {
    "overview, 30 days": "select public.usage_overview()",
    "overview, year": "select public.usage_overview(current_date - 364, current_date + 1)",
    "dashboard, hour": "select public.llm_dashboard()",
    "dashboard, month": "select public.llm_dashboard('month', 'Asia/Kolkata')",
    "forecast": "select * from public.cost_forecast('global')",
    "anomalies": "select * from public.cost_anomalies('global')",
    "open turns": "select * from public.open_turns()",
}
OWN = {
    "my usage": "select public.my_usage('Asia/Kolkata')",
    "own cost by day, year": _REPORT.format("cost_usd", "'model'", "'day'", _YEAR, "Asia/Kolkata"),
    "own dashboard": "select public.llm_dashboard('month')",
}
COLUMNS = (Column("median ms", "median_ms", 1), Column("p95 ms", "p95_ms", 1), Column("p95 CPU ms", "cpu_ms", 1))


def measure(run: Run) -> Figures:
    """Prints the times of each function; figures by function, and the slowest of the pages' usual spans."""
    with (
        database.migrated_database(PEOPLE) as server,
        psycopg.connect(database.dsn_of(server, "supabase_admin"), autocommit=True) as owner,
        psycopg.connect(database.dsn_of(server, "authenticator"), autocommit=True) as db,
    ):
        began = time.perf_counter()
        grow(owner, run.sizes[-1])
        row = owner.execute(
            "select count(*), pg_total_relation_size('public.usage_hourly') / 1e6 from public.usage_hourly"
        )
        hours, size = row.fetchone() or (0, 0)
        seconds = time.perf_counter() - began
        print(f"reports: {run.sizes[-1]:,} turns in {hours:,} rows of usage_hourly ({size:,.0f} MB), {seconds:.0f} s")
        found = measure_queries(db)
    print(figures.tables(found, COLUMNS, "open turns"))
    return found


def measure_queries(db: psycopg.Connection[Any]) -> Figures:
    """The figures of each query, which it prints; those of `OWN` as a user, the others as an admin."""
    found: Figures = {}
    for claims, queries in ((database.ADMIN_CLAIMS, QUERIES), (database.USER_CLAIMS, OWN)):
        for name, query in queries.items():
            found[name] = _times(db, claims.format(person=database.PERSON.format(n=_READER)), query)
            print(f"  {name:42s} " + ", ".join(f"{key} {value:.1f}" for key, value in found[name].items()), flush=True)
    return found


def grow(db: psycopg.Connection[Any], size: int) -> None:
    """Adds the turns of the year, which the triggers of the log count."""
    step = 50_000
    db.execute("set synchronous_commit = off")
    for first in range(0, size, step):
        db.execute(_TURNS_SQL, {"first": first, "last": min(first + step, size) - 1, "size": size})
    db.execute("vacuum full public.usage_hourly")  # a statement of 50,000 turns leaves versions that many turns do not
    db.execute("vacuum analyze")


def _times(db: psycopg.Connection[Any], claims: str, query: str) -> dict[str, float]:
    taken, cpu = [], []
    for _ in range(_CALLS):
        with db.transaction():
            db.execute(claims)
            started, used = time.perf_counter(), _cpu_ms(db)
            db.execute(query).fetchall()
            taken.append((time.perf_counter() - started) * 1000)
            cpu.append(_cpu_ms(db) - used)
    return {
        "median_ms": statistics.median(taken),
        "p95_ms": sorted(taken)[math.ceil(0.95 * _CALLS) - 1],
        "cpu_ms": sorted(cpu)[math.ceil(0.95 * _CALLS) - 1],
    }


def _cpu_ms(db: psycopg.Connection[Any]) -> float:
    """CPU of the session, which another program on the machine does not change."""
    return int(Path(f"/proc/{db.info.backend_pid}/schedstat").read_text().split()[0]) / 1e6
