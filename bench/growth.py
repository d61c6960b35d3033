"""Growth: the ledger and a user's own pages in a database with many log rows of 2,000 users."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import psycopg

from bench import database, figures
from bench.figures import Column, Figures
from bench.growth_rows import (
    CONVERSATION,
    CONVERSATION_MESSAGES,
    LONG_CONVERSATION,
    PEOPLE,
    add_long_conversation,
    grow,
)
from bench.run import Run

REFERENCE = "0 rows"
LONG = "2,000 messages"
_TURNS = 200
_READS = 15
_WRITER, _READER = 7, 1234  # apart: the newest turns would make the reader's first page cheap
_NEW_USER = PEOPLE + 1  # has no rows: a page that walks along an index of all users never ends early
_CHAT_FIELDS = "'endpoint', 'chat', 'store', true"

Connection = psycopg.Connection[Any]

_LOG_PAGE = "select * from public.chat_logs order by created_at desc limit 50"
_READS_OF = {
    "log count": "select count(*) from public.chat_logs",
    "usage, 30 days": "select * from public.usage_daily where day > current_date - 30 order by day desc limit 1000",
    "counters": "select * from public.usage_counters order by period_start desc limit 100",
    "limits": "select * from public.my_limits()",
    "conversations": "select * from public.llm_conversations order by last_activity desc limit 50",
    "messages": f"select * from public.messages where conversation_id = {CONVERSATION.format(n=_READER - 1)} "
    "order by created_at desc limit 50",
}
PAGES = {
    "log page": (_LOG_PAGE, _READER),
    "log page, new user": (_LOG_PAGE, _NEW_USER),
    **{page: (query, _READER) for page, query in _READS_OF.items()},
}
"""The query and the user of each page, by its name. The policies alone choose the user's rows."""
_ADMINS = {f"admin: {page}": _READS_OF.get(page, _LOG_PAGE) for page in ("log page", "log count", "usage, 30 days")}
TURNS = (Column("begin + finish ms", "turn_ms", 2), Column("begin, stored ms", "begin_ms", 2))


def measure(run: Run) -> Figures:
    """Prints both for each size, and the scans of each page; figures by size."""
    turns: Figures = {}
    pages: Figures = {}
    with (
        database.migrated_database(_NEW_USER) as server,
        psycopg.connect(database.dsn_of(server, "supabase_admin"), autocommit=True) as owner,
        psycopg.connect(database.dsn_of(server, "authenticator"), autocommit=True) as db,
    ):
        turns[REFERENCE] = _turn_figures(db)
        for size in run.sizes:
            began = time.perf_counter()
            grow(owner, size)
            print(
                f"growth, {size:,} log rows of {PEOPLE:,} users in {time.perf_counter() - began:.0f} s; {_sizes(owner)}"
            )
            name = f"{size:,} rows"
            turns[name] = _turn_figures(db)
            pages[name] = {}
            for page, (query, reader) in PAGES.items():
                pages[name][page] = _page(db, page, query, database.USER_CLAIMS, reader)
            for page, query in _ADMINS.items():
                pages[name][page] = _page(db, page, query, database.ADMIN_CLAIMS, _READER)
        add_long_conversation(owner)
        turns[LONG] = {"begin_ms": _begin_ms(db, f"'conversation_id', '{LONG_CONVERSATION}'", 20)}
    print(f"growth: the ledger; the last row is a begin in a conversation of {CONVERSATION_MESSAGES:,} messages")
    print(figures.tables(turns, TURNS, REFERENCE))
    print(
        "growth: a user's own pages, planning and execution in PostgreSQL, median of "
        f"{_READS}; the reference is the smallest size"
    )
    columns = [Column(f"{page} ms", page, 2) for page in (*PAGES, *_ADMINS)]
    print(figures.tables(pages, columns, next(iter(pages))))
    return {name: turns.get(name, {}) | pages.get(name, {}) for name in {**turns, **pages}}


def _turn_figures(db: Connection) -> dict[str, float]:
    turn_ms = statistics.median(_timed(_completion, db, number) for number in range(_TURNS))
    return {"turn_ms": turn_ms, "begin_ms": _begin_ms(db, "'client_id', gen_random_uuid()::text", 50)}


def _completion(db: Connection, number: int) -> None:
    turn = _new_turn(db)
    _begin(db, turn, database.COMPLETION_FIELDS, 1 + number % PEOPLE)
    _finish(db, turn)


def _begin_ms(db: Connection, conversation: str, rounds: int) -> float:
    """The median of stored turns in a conversation, each finished before the next begins."""
    times = []
    for _ in range(rounds):
        turn = _new_turn(db)
        times.append(_timed(_begin, db, turn, f"{_CHAT_FIELDS}, {conversation}", _WRITER))
        _finish(db, turn)
    return statistics.median(times)


def _new_turn(db: Connection) -> str:
    row = db.execute("select gen_random_uuid()").fetchone()
    return f"'{row[0] if row else None}'::uuid"


def _begin(db: Connection, turn: str, fields: str, person: int) -> None:
    claims = database.USER_CLAIMS.format(person=database.PERSON.format(n=person))
    begin = database.BEGIN_FIELDS.format(turn=turn)
    db.execute(f"begin; {claims}; select public.chat_begin(jsonb_build_object({begin}, {fields})); commit")


def _finish(db: Connection, turn: str) -> None:
    finish = database.FINISH_FIELDS.format(turn=turn, answer="hello")
    db.execute(f"begin; {database.SERVICE_CLAIMS}; select public.chat_finish(jsonb_build_object({finish})); commit")


def _timed(act: Callable[..., None], *arguments: Any) -> float:
    started = time.perf_counter()
    act(*arguments)
    return (time.perf_counter() - started) * 1000


def _page(db: Connection, page: str, query: str, claims: str, reader: int) -> float:
    """The median milliseconds of a query with the claims of a user; prints them with the scans of its plan."""
    taken: list[float] = []
    plan: dict[str, Any] = {}
    with db.transaction():
        db.execute(claims.format(person=database.PERSON.format(n=reader)))
        for _ in range(_READS):
            row = db.execute(f"explain (analyze, timing off, format json) {query}").fetchone()
            result = (row[0] if isinstance(row[0], list) else json.loads(row[0]))[0] if row else {}
            taken.append(result["Planning Time"] + result["Execution Time"])
            plan = result["Plan"]
    print(f"  {page:22s} {statistics.median(taken):8.2f} ms   {scans_of(plan)}")
    return statistics.median(taken)


def scans_of(plan: dict[str, Any]) -> str:
    """The scans of a plan, such as `Index Scan chat_logs_pkey`, from the outside in, separated by commas."""
    found = []
    if "Scan" in plan["Node Type"]:
        target = plan.get("Index Name") or plan.get("Relation Name") or plan.get("Function Name") or ""
        found.append(f"{plan['Node Type']} {target}".strip())
    found += [scans for child in plan.get("Plans", ()) if (scans := scans_of(child))]
    return ", ".join(found)


def _sizes(db: Connection) -> str:
    rows = db.execute(
        "select relname, pg_total_relation_size(oid) / 1e6 from pg_class where relkind in ('r', 'm') "
        "and relnamespace in ('public'::regnamespace, 'private'::regnamespace) order by 2 desc limit 4"
    )
    return ", ".join(f"{name} {size:,.0f} MB" for name, size in rows)
