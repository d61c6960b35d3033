"""How conversations go from agent to agent, and the agent that `auto` learns from it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, service, sign_up
from tests.stack.turns import Database, begin, finish

_PAST = datetime.now(UTC) - timedelta(days=3)


def _conversation(
    db: Database, person: Person, agents: str, *, named: str = "", domain: str = "general", at: datetime = _PAST
) -> None:
    """A conversation of turns with these agents, by first letter; the last one was named by the user."""
    names = {"g": "general", "t": "technical", "r": "research"}
    row = db.execute("insert into public.llm_conversations (user_id) values (%s) returning id", (person.id,)).fetchone()
    assert row
    for number, letter in enumerate(agents):
        is_last = number == len(agents) - 1
        db.execute(
            "insert into public.chat_logs (turn_id, user_id, conversation_id, endpoint, status, agent_type, "
            "domain_classification, asked_agent, created_at) values (%s, %s, %s, 'chat', 'completed', %s, %s, %s, %s)",
            (
                uuid.uuid4(),
                person.id,
                row["id"],
                names[letter],
                domain,
                names[named] if named and is_last else None,
                at + timedelta(minutes=number),
            ),
        )


@pytest.fixture(autouse=True)
def clean(db: Database) -> Iterator[None]:
    """Each test has a log of its own."""
    yield
    db.execute("delete from private.next_agents")
    db.execute("delete from public.chat_logs where endpoint = 'chat' and request_id is null")


def _rpc(person: Person, name: str, **arguments: Any) -> list[dict[str, Any]]:
    answer = person.rest("POST", f"rpc/{name}", json=arguments)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()
    return rows


def test_transitions_have_their_share_with_an_interval(alice: Person, bob: Person, db: Database) -> None:
    """Of three transitions from general two go to technical; other users see none of them."""
    for agents in ("gtt", "gt", "gg"):
        _conversation(db, alice, agents)
    rows = {(row["previous"], row["next"]): row for row in _rpc(alice, "conversation_flow")}
    assert {pair: (row["transitions"], row["n"]) for pair, row in rows.items()} == {
        ("general", "technical"): (2, 3),
        ("general", "general"): (1, 3),
        ("technical", "technical"): (1, 1),
    }
    row = rows["general", "technical"]
    assert row["low"] < row["share"] == 0.6667 < row["high"]
    assert _rpc(bob, "conversation_flow") == []
    assert [row["n"] for row in _rpc(alice, "conversation_flow", by="domain")] == [4]
    assert alice.rest("POST", "rpc/conversation_flow", json={"by": "moon"}).status_code == 422


def test_ends_and_lengths_leave_out_conversations_that_may_go_on(alice: Person, db: Database) -> None:
    """A conversation with a turn in the last day has no end and no length yet."""
    for agents in ("gt", "g", "gtr"):
        _conversation(db, alice, agents)
    _conversation(db, alice, "gg", at=datetime.now(UTC) - timedelta(hours=2))
    ends = {row["place"]: (row["ends"], row["n"]) for row in _rpc(alice, "conversation_ends")}
    assert ends == {"general": (1, 4), "technical": (1, 2), "research": (1, 1)}
    rows = _rpc(alice, "conversation_lengths")
    assert [(row["min_turns"], row["conversations"]) for row in rows if row["conversations"]] == [
        (1, 1),
        (2, 1),
        (3, 1),
    ]
    assert {(row["n"], row["mean_turns"], row["median_turns"]) for row in rows} == {(3, 2, 2)}
    assert all(row["low"] <= row["share"] <= row["high"] for row in rows)


@pytest.mark.parametrize(("right", "wrong", "is_learned"), [(40, 10, True), (49, 0, False), (30, 25, False)])
def test_auto_follows_the_flow_only_where_it_is_significantly_better(
    alice: Person, model: Models, stack: Stack, db: Database, right: int, wrong: int, is_learned: bool
) -> None:
    """After technical, users name technical although the rules say general: from 50 turns on, if intervals part."""
    people = (alice, sign_up(stack), sign_up(stack))
    for number in range(right + wrong):
        agents, name = ("tt", "t") if number < right else ("tg", "g")
        _conversation(db, people[number % 3], agents, named=name)
    learned = service(stack, "POST", "rpc/measure_next_agents", json={}).json()
    assert learned == int(is_learned)
    name = model("echo")
    first = begin(alice, name, agent="technical", asked_agent="technical")
    finish(alice, first, agent_type="technical")
    following = begin(alice, name, agent="general", conversation_id=first["conversation_id"])
    assert following["agent"] == ("technical" if is_learned else "general")
    finish(alice, following, agent_type="technical")
    asked = begin(alice, name, agent="general", asked_agent="general", conversation_id=first["conversation_id"])
    assert asked["agent"] == "general"
    finish(alice, asked, agent_type="general")
    fresh = begin(alice, name, agent="general")
    assert fresh["agent"] == "general"
