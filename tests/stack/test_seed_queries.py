"""The queries of the documents that Parley grew from run as they are, over the rows that the caller may see."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from local import postgres
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, new_admin
from tests.stack.reports import acting_as
from tests.stack.turns import Database, begin, finish, used

QUERIES = {path.stem: path.read_text() for path in (Path(__file__).parents[1] / "seed_queries").glob("*.sql")}
# What each query adds up to for a user with three turns in one conversation: the column, and its sum.
_SUMS = {
    "daily_usage_by_user": ("requests", 3),
    "popular_tools": ("usage_count", 2),
    "total_cost_by_provider": ("requests", 3),
    "agent_performance": ("total_tokens", 330),
    "context_effectiveness": ("sample_size", 3),
    "escalation_success": ("handoffs", 2),
    "escalation_success_next_turn": ("handoffs", 1),
    "daily_cost_by_agent": ("interactions", 3),
    "user_cost_efficiency": ("total_interactions", 3),
    "usage_by_model": ("total_tokens", 330),
    "model_usage": ("request_count", 3),
}


def _three_turns(person: Person, name: str) -> None:
    """One conversation: a hand-off first, which is rated 2, then two answers, of which the first is rated 5."""
    conversation = None
    for number, rating in enumerate((2, 5, None)):
        turn = begin(person, name, conversation_id=conversation)
        conversation = turn["conversation_id"]
        tools = [{"name": "search", "ok": True}] * 2 if number == 0 else []
        result: dict[str, Any] = {"agent_type": "technical", "escalation_suggested": number == 0, "tools_used": tools}
        finish(person, turn, usage=used(100, 10), duration_ms=500, **result)
        if rating:
            verdict = {"turn_id": turn["turn_id"], "rating": rating}
            assert person.rest("POST", "feedback", json=verdict).status_code == 201


def test_every_query_has_its_sum() -> None:
    """Each file of tests/seed_queries is checked below."""
    assert QUERIES.keys() == _SUMS.keys()


@pytest.mark.parametrize("name", QUERIES)
def test_a_user_sees_own_rows_and_an_admin_all(
    alice: Person, bob: Person, model: Models, db: Database, name: str
) -> None:
    """A user's result adds up to the user's own turns; that of an admin has at least those of both users."""
    for person in (alice, bob):
        _three_turns(person, model("echo"))
    column, wanted = _SUMS[name]
    query = f"set local timezone = 'UTC'; {QUERIES[name].strip().rstrip(';')}"
    totals = []
    for caller in (alice, None):
        with acting_as(db, caller):
            cursor = db.execute(query)
            cursor.nextset()
            rows = cursor.fetchall()
        totals.append(sum(row[column] for row in rows if row[column] is not None))
    assert totals[0] == wanted
    assert totals[1] >= 2 * wanted


def test_psql_runs_them_as_they_are(stack: Stack) -> None:
    """Each file ends without an error, in the order of its name."""
    for name, query in QUERIES.items():
        command = [
            str(postgres.BIN / "psql"),
            "-XqAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            stack["DATABASE_URL"],
            "-c",
            query,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (name, done.stderr)


def test_ratings_are_those_of_the_turns(alice: Person, model: Models, db: Database) -> None:
    """The query of the next turn has the rating of that turn, that of all later turns the mean of their ratings."""
    _three_turns(alice, model("echo"))
    with acting_as(db, alice):
        (after,) = db.execute(QUERIES["escalation_success_next_turn"].rstrip().rstrip(";")).fetchall()
        (user,) = db.execute(QUERIES["user_cost_efficiency"].rstrip().rstrip(";")).fetchall()
    assert (after["to_agent"], after["post_handoff_satisfaction"]) == ("technical", 5)
    assert user["avg_satisfaction"] == pytest.approx(3.5)


def test_clients_read_the_views_through_the_data_api(alice: Person, bob: Person, model: Models) -> None:
    """What the documents ask by supabase-js: rows of today by agent, recent usage, and the roll-up by agent."""
    _three_turns(alice, model("echo"))
    columns = "agent_type,user_satisfaction,llm_metadata,response_time_ms"
    rows = alice.rows(f"llm_interactions?select={columns}&timestamp=gte.2026-01-01&order=timestamp")
    assert [row["user_satisfaction"] for row in rows] == [2, 5, None]
    assert {key for row in rows for key in row["llm_metadata"]} == {
        "model",
        "tokens_used",
        "cost",
        "confidence",
        "domain_classification",
    }
    recent = alice.rows(f"ai_usage_logs?user_id=eq.{alice.id}&order=created_at.desc&limit=10")
    assert [row["total_tokens"] for row in recent] == [110] * 3
    (day,) = alice.rows("llm_analytics?agent_type=eq.technical")
    assert (day["total_interactions"], day["avg_user_satisfaction"], day["context_efficiency_score"]) == (3, 3.5, 0.1)
    assert day["escalation_success_rate"] == 0
    assert bob.rows("llm_interactions") == bob.rows("ai_usage_logs") == bob.rows("llm_analytics") == []


def test_training_data_needs_consent(alice: Person, bob: Person, model: Models) -> None:
    """Only admins read it, only turns of users who allow it, and not those of conversations that are excluded."""
    admin, name = new_admin(alice.stack), model("echo")
    turns = [begin(alice, name), begin(alice, name), begin(bob, name)]
    for turn in turns:
        finish(alice, turn)

    def seen(person: Person) -> set[str]:
        wanted = ",".join(turn["turn_id"] for turn in turns)
        return {row["id"] for row in person.rows(f"training_data?id=in.({wanted})")}

    assert seen(admin) == set()
    assert alice.rest("POST", "user_llm_profiles", json={"allows_training": True}).status_code == 201
    excluded = f"llm_conversations?id=eq.{turns[1]['conversation_id']}"
    assert alice.rest("PATCH", excluded, json={"allows_training": False}).status_code == 204
    assert seen(admin) == {turns[0]["turn_id"]}
    assert seen(alice) == set()
