"""Feedback on turns."""

from __future__ import annotations

import uuid

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, service
from tests.stack.turns import Database, begin, finish


def test_a_person_rates_what_they_have_seen_and_may_change_their_mind(alice: Person, bob: Person) -> None:
    """A user rates a turn once and may change it; a turn of another user looks like one that does not exist."""
    turn = alice.whole("hi")["id"]
    verdict = {"turn_id": turn, "rating": 2, "sentiment": "negative", "note": "meh"}
    assert alice.rest("POST", "feedback", json=verdict).status_code == 201
    assert alice.rest("POST", "feedback", json=verdict).status_code == 409
    assert alice.rest("PATCH", f"feedback?turn_id=eq.{turn}", json={"rating": 5}).status_code == 204
    assert [row["rating"] for row in alice.rows(f"feedback?turn_id=eq.{turn}")] == [5]
    refused = [bob.rest("POST", "feedback", json={"turn_id": each, "rating": 1}) for each in (turn, str(uuid.uuid4()))]
    assert [answer.status_code for answer in refused] == [403, 403]
    assert refused[0].json() == refused[1].json()


def test_members_rate_each_others_turns(alice: Person, bob: Person) -> None:
    """A member may rate a turn of another member, because both see its answer."""
    answer = alice.whole("hi")
    member = {"conversation_id": answer["conversation_id"], "user_id": bob.id}
    assert alice.rest("POST", "conversation_members", json=member).status_code == 201
    assert bob.rest("POST", "feedback", json={"turn_id": answer["id"], "rating": 3}).status_code == 201
    assert alice.rows(f"feedback?turn_id=eq.{answer['id']}") == []


def test_a_verdict_says_something_and_only_what_there_is(alice: Person) -> None:
    """Empty feedback, a rating out of range and an unknown sentiment are refused."""
    turn = alice.whole("hi")["id"]
    for odd in ({}, {"rating": 0}, {"rating": 6}, {"sentiment": "furious"}, {"note": "x" * 4001}):
        assert alice.rest("POST", "feedback", json={"turn_id": turn} | odd).status_code == 400


def test_verdicts_go_with_their_person(alice: Person, db: Database) -> None:
    """`delete_my_data` deletes the user's feedback."""
    turn = alice.whole("hi")["id"]
    assert alice.rest("POST", "feedback", json={"turn_id": turn, "note": "mine"}).status_code == 201
    assert alice.rest("POST", "rpc/delete_my_data", json={}).status_code == 204
    assert db.execute("select 1 from public.feedback where user_id = %s", [alice.id]).fetchall() == []


def test_what_agents_earned_stands_in_the_profile(stack: Stack, alice: Person, model: Models) -> None:
    """The profile has the mean and number of the user's own ratings for each agent."""
    assert alice.rest("POST", "user_llm_profiles", json={"skill_level": "expert"}).status_code == 201
    name = model("echo")
    for rating in (4, 5):
        turn = begin(alice, name)
        finish(alice, turn, agent_type="research")
        assert alice.rest("POST", "feedback", json={"turn_id": turn["turn_id"], "rating": rating}).status_code == 201
    assert service(stack, "POST", "rpc/roll_up_profiles", json={}).status_code == 200
    (profile,) = alice.rows("user_llm_profiles")
    assert profile["agent_satisfaction_scores"] == {"research": {"mean": 4.5, "n": 2}}
