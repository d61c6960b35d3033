"""A user's own rows are found by an index, others' rows stay invisible, and admins see all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, new_admin
from tests.stack.turns import Database, begin, finish

_QUERIES = {
    "page": "select * from public.chat_logs order by created_at desc limit 50",
    "page in a fixed order": "select * from public.chat_logs order by created_at desc, id desc limit 50",
    "count": "select count(*) from public.chat_logs",
    "use": "select sum(cost_usd) from public.chat_logs where created_at >= now() - interval '30 days'",
    "hours": "select * from public.usage_hourly order by hour desc limit 50",
    "days": "select * from public.usage_daily order by day desc limit 50",
    "count of days": "select count(*) from public.usage_daily",
    "counters": "select * from public.usage_counters where period = 'day' order by period_start desc",
    "ratings": "select * from public.feedback order by created_at desc limit 50",
    "alerts": "select * from public.cost_alerts order by id desc limit 50",
    "keys": "select * from public.api_keys order by created_at desc limit 50",
    "changes of the cap": "select * from public.limit_changes order by id desc limit 50",
    "conversations": "select * from public.llm_conversations order by last_activity desc limit 30",
    "count of conversations": "select count(*) from public.llm_conversations",
    "members": "select * from public.conversation_members",
    "messages": "select * from public.messages where conversation_id = {me} order by created_at desc limit 50",
}


def _scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The scans of tables and indexes; those of the conditions that are evaluated once are left out."""
    if "Scan" in plan["Node Type"] and plan["Node Type"] not in {"Bitmap Heap Scan", "Subquery Scan"}:
        yield plan
    for child in plan.get("Plans", ()):
        if child.get("Parent Relationship") not in {"InitPlan", "SubPlan"}:
            yield from _scans(child)


@pytest.mark.parametrize("name", _QUERIES)
def test_a_users_own_rows_are_found_by_an_index(alice: Person, db: Database, name: str) -> None:
    """Each scan begins at the user's rows, so its cost does not grow with the rows of others."""
    claims = json.dumps({"sub": alice.id, "role": "authenticated"})
    with db.transaction(force_rollback=True):
        # The tables of a test are too small for indexes.
        db.execute("set local enable_seqscan = off")
        db.execute(
            "select set_config('request.jwt.claims', %s, true), set_config('role', 'authenticated', true)", [claims]
        )
        found = db.execute(f"explain (format json) {_QUERIES[name].format(me=repr(alice.id))}").fetchone()
    assert found is not None
    scans = list(_scans(found["QUERY PLAN"][0]["Plan"]))
    assert scans
    for scan in scans:
        assert "Index" in scan["Node Type"], scan
        named = f"select pg_get_indexdef('public.{scan['Index Name']}'::regclass, 1, true) as first_column"
        index = db.execute(named).fetchone()
        assert index is not None
        assert f"({index['first_column']} " in scan.get("Index Cond", ""), scan


def _seen(person: Person, table: str) -> set[str]:
    return {json.dumps(row, sort_keys=True) for row in person.rows(table)}


def test_others_see_nothing_of_it_and_admins_all(alice: Person, bob: Person, model: Models, db: Database) -> None:
    """Naming another user does not help; rows of deleted users are left to admins."""
    name = model("echo")
    mine, gone = begin(alice, name), begin(bob, name)
    for person, turn in ((alice, mine), (bob, gone)):
        finish(person, turn)
    admin = new_admin(alice.stack)
    db.execute("delete from auth.users where id = %s", [bob.id])
    for table, own in {
        "chat_logs": f"turn_id=eq.{mine['turn_id']}",
        "usage_daily": f"user_id=eq.{alice.id}",
        "usage_counters": f"scope=eq.{alice.id}",
        "llm_conversations": f"id=eq.{mine['conversation_id']}",
        "conversation_members": f"conversation_id=eq.{mine['conversation_id']}",
        "messages": f"conversation_id=eq.{mine['conversation_id']}",
    }.items():
        assert _seen(admin, f"{table}?{own}") == _seen(alice, f"{table}?{own}") != set(), table
    assert admin.rows(f"chat_logs?turn_id=eq.{gone['turn_id']}&user_id=is.null")
    assert alice.rows(f"chat_logs?turn_id=eq.{gone['turn_id']}") == []
    assert alice.rows("chat_logs?user_id=is.null") == alice.rows("usage_daily?user_id=is.null") == []


def test_a_stranger_sees_no_row_of_others(alice: Person, bob: Person, model: Models) -> None:
    """Neither with a filter for another user nor without one."""
    turn = begin(alice, model("echo"))
    finish(alice, turn)
    for table in ("chat_logs", "usage_daily", "llm_conversations", "conversation_members", "messages", "feedback"):
        assert bob.rows(table) == bob.rows(f"{table}?user_id=eq.{alice.id}") == [], table
    for table in ("usage_counters", "cost_alerts"):
        assert bob.rows(table) == bob.rows(f"{table}?scope=eq.{alice.id}") == [], table
