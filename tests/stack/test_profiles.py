"""Profiles: stated preferences, learned values, and switching learning off."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, service
from tests.stack.turns import Database, begin, finish

_PREFERENCES: dict[str, Any] = {
    "skill_level": "expert",
    "communication_style": "concise",
    "preferred_agent": "technical",
    "preferred_model": "gpt-4o",
    "is_profiling_enabled": True,
    "context_preferences": {"currency": "EUR"},
}
_LEARNED = ("agent_satisfaction_scores", "conversation_patterns", "expertise_areas", "learning_progress")


def _profile(person: Person) -> dict[str, Any]:
    (row,) = person.rows("user_llm_profiles")
    return row


def _change(person: Person, **fields: Any) -> int:
    return person.rest("PATCH", f"user_llm_profiles?user_id=eq.{person.id}", json=fields).status_code


def _roll_up(stack: Stack) -> int:
    answer = service(stack, "POST", "rpc/roll_up_profiles", json={})
    assert answer.status_code == 200, answer.text
    changed: int = answer.json()
    return changed


def _plan(person: Person) -> dict[str, Any]:
    answer = person.rest("POST", "rpc/chat_begin", json={"turn": {"message": "hi", "dry_run": True}})
    assert answer.status_code == 200, answer.text
    plan: dict[str, Any] = answer.json()
    return plan


def _log(db: Database, person: Person, count: int = 1, **fields: Any) -> None:
    row = {"endpoint": "chat", "status": "completed", "user_id": person.id} | fields
    for _ in range(count):
        names = ", ".join(("turn_id", *row))
        marks = ", ".join(["%s"] * (len(row) + 1))
        db.execute(f"insert into public.chat_logs ({names}) values ({marks})", [str(uuid.uuid4()), *row.values()])


def test_preferences_are_their_persons_to_write(alice: Person, bob: Person) -> None:
    """A user inserts and updates each preference; another user cannot."""
    assert alice.rest("POST", "user_llm_profiles", json=_PREFERENCES).status_code == 201
    for column, value in _PREFERENCES.items():
        assert _profile(alice)[column] == value
        assert _change(alice, **{column: value}) == 204
    assert bob.rows("user_llm_profiles") == []
    assert bob.rest("POST", "user_llm_profiles", json={"user_id": alice.id}).status_code in {403, 409}
    path = f"user_llm_profiles?user_id=eq.{alice.id}"
    back = {"Prefer": "return=representation"}
    assert bob.rest("PATCH", path, json={"skill_level": "beginner"}, headers=back).json() == []
    assert _profile(alice)["skill_level"] == "expert"


def test_preferences_can_be_saved_without_knowing_whether_there_are_any(alice: Person, bob: Person) -> None:
    """An upsert inserts or updates the user's own row, and no other row."""
    upsert = {"Prefer": "resolution=merge-duplicates"}
    for skill in ("beginner", "expert"):
        row = {"user_id": alice.id, "skill_level": skill}
        assert alice.rest("POST", "user_llm_profiles", json=row, headers=upsert).status_code in {200, 201}
        assert _profile(alice)["skill_level"] == skill
        assert bob.rest("POST", "user_llm_profiles", json=row, headers=upsert).status_code == 403
    assert _change(alice, user_id=bob.id) == 403


@pytest.mark.parametrize("column", [*_LEARNED, "created_at", "updated_at"])
def test_what_is_learned_is_nobodys_to_write(alice: Person, stack: Stack, column: str) -> None:
    """Neither the user nor the service can insert or update the learned columns."""
    value: Any = {"x": 1} if column in _LEARNED else "2026-01-01"
    assert alice.rest("POST", "user_llm_profiles", json={column: value}).status_code == 403
    assert alice.rest("POST", "user_llm_profiles", json={}).status_code == 201
    assert _change(alice, **{column: value}) == 403
    path = f"user_llm_profiles?user_id=eq.{alice.id}"
    assert service(stack, "PATCH", path, json={column: value}).status_code == 403
    assert alice.rest("DELETE", path).status_code == 403


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("skill_level", "god"),
        ("communication_style", "rude"),
        ("preferred_agent", "secret"),
        ("preferred_model", ""),
        ("preferred_model", "x" * 301),
        ("context_preferences", [1]),
        ("context_preferences", {"x": "y" * 20_000}),
    ],
)
def test_preferences_that_mean_nothing_are_refused(alice: Person, column: str, value: Any) -> None:
    """Skill, style and agent must be known values, a model must be a name, and the free object is limited."""
    assert alice.rest("POST", "user_llm_profiles", json={column: value}).status_code == 400


def test_a_turn_knows_how_its_person_likes_to_be_helped(alice: Person, bob: Person) -> None:
    """A turn without a profile has no preferences; with profiling off it has the stated ones."""
    assert _plan(alice)["profile"] is None
    alice.rest("POST", "user_llm_profiles", json={"skill_level": "beginner", "preferred_agent": "research"})
    wanted = {"skill_level": "beginner", "communication_style": None}
    assert _plan(alice)["profile"] == wanted
    _change(alice, is_profiling_enabled=False)
    assert _plan(alice)["profile"] == wanted
    assert _plan(bob)["profile"] is None


def test_the_roll_up_learns_from_the_turns_of_ninety_days(alice: Person, db: Database, stack: Stack) -> None:
    """It learns turns by agent and hour, mean tokens and domains, without older and failed turns."""
    alice.rest("POST", "user_llm_profiles", json={"skill_level": "expert"})
    noon = "2026-11-20 12:30+00"
    row = db.execute("select (now() at time zone 'utc')::date - 1 + time '12:30' as noon").fetchone()
    noon = f"{row['noon']}+00" if row else noon
    shared = {"created_at": noon, "input_tokens": 100, "output_tokens": 10}
    _log(db, alice, 3, agent_type="technical", domain_classification="technical", **shared)
    _log(db, alice, 1, agent_type="general", domain_classification="trading", **shared | {"input_tokens": 500})
    _log(db, alice, 1, agent_type="general", created_at=noon)
    _log(db, alice, 1, agent_type="general", status="failed", **shared)
    _log(db, alice, 1, agent_type="research", domain_classification="old", **shared | {"created_at": "2026-01-01"})
    assert _roll_up(stack) >= 1
    learned = _profile(alice)
    assert learned["conversation_patterns"] == {
        "turns": 5,
        "mean_input_tokens": 200,
        "mean_output_tokens": 10,
        "turns_by_agent": {"technical": 3, "general": 2},
        "turns_by_hour": {"12": 5},
    }
    assert learned["expertise_areas"] == {"technical": {"share": 0.75, "n": 3}, "trading": {"share": 0.25, "n": 1}}
    assert (learned["agent_satisfaction_scores"], learned["learning_progress"]) == (None, {noon[:7]: {"turns": 5}})
    assert learned["skill_level"] == "expert"


def test_a_second_roll_up_changes_nothing(alice: Person, db: Database, stack: Stack) -> None:
    """A repeated roll-up keeps the row, including its updated_at."""
    alice.rest("POST", "user_llm_profiles", json={})
    _log(db, alice, 2, domain_classification="data")
    _roll_up(stack)
    before = _profile(alice)
    assert before["conversation_patterns"]["turns"] == 2
    assert _roll_up(stack) == 0
    assert _profile(alice) == before


def test_a_user_who_switches_profiling_off_is_unlearned_at_once_and_stays_so(
    alice: Person, db: Database, model: Models, stack: Stack
) -> None:
    """Switching off clears learned values and stops learning; switching on starts it again."""
    alice.rest("POST", "user_llm_profiles", json={"communication_style": "detailed"})
    _log(db, alice, 2, domain_classification="data")
    _roll_up(stack)
    assert _profile(alice)["expertise_areas"] == {"data": {"share": 1, "n": 2}}
    assert _change(alice, is_profiling_enabled=False) == 204
    for _ in range(2):
        row = _profile(alice)
        assert [row[column] for column in _LEARNED] == [None] * 4
        assert row["communication_style"] == "detailed"
        _roll_up(stack)
    turn = begin(alice, model("echo"))
    finish(alice, turn, user_skill_assessment="beginner")
    (row,) = alice.rows(f"chat_logs?turn_id=eq.{turn['turn_id']}")
    assert row["user_skill_assessment"] is None
    _change(alice, is_profiling_enabled=True)
    assert _roll_up(stack) >= 1
    assert _profile(alice)["conversation_patterns"]["turns"] == 3


def test_users_without_a_profile_are_not_profiled(alice: Person, db: Database, stack: Stack) -> None:
    """The roll-up creates no profile."""
    _log(db, alice)
    _roll_up(stack)
    assert alice.rows("user_llm_profiles") == []


def _turn(person: Person, model: str) -> None:
    finish(person, begin(person, model))


def test_a_profile_begins_with_the_first_turn_and_learns_nothing(alice: Person, model: Models, stack: Stack) -> None:
    """The automatic profile does not learn; a profile that the user inserts replaces it and does."""
    name = model("echo")
    for _ in range(2):
        _turn(alice, name)
    _roll_up(stack)
    row = _profile(alice)
    assert (row["is_profiling_enabled"], row["is_automatic"]) == (False, True)
    assert [row[column] for column in _LEARNED] == [None] * 4
    assert alice.rest("POST", "user_llm_profiles", json={"skill_level": "expert"}).status_code == 201
    _turn(alice, name)
    _roll_up(stack)
    row = _profile(alice)
    assert (row["skill_level"], row["is_profiling_enabled"], row["is_automatic"]) == ("expert", True, False)
    assert row["conversation_patterns"]["turns"] == 3
    assert alice.rest("POST", "user_llm_profiles", json={}).status_code == 409
    assert alice.rest("DELETE", "user_llm_profiles?is_automatic=is.true").status_code == 403
    assert alice.rest("POST", "user_llm_profiles", json={"is_automatic": True}).status_code == 403


def test_a_profile_that_its_person_changed_is_theirs(alice: Person, bob: Person, model: Models) -> None:
    """The user updates or upserts an automatic row; an insert by another user does not remove it."""
    name, upsert = model("echo"), {"Prefer": "resolution=merge-duplicates"}
    for person in (alice, bob):
        _turn(person, name)
    assert bob.rest("POST", "user_llm_profiles", json={"user_id": alice.id}).status_code in {403, 409}
    assert _change(alice, communication_style="concise") == 204
    assert (_profile(alice)["is_profiling_enabled"], _profile(alice)["is_automatic"]) == (False, False)
    assert alice.rest("POST", "user_llm_profiles", json={"skill_level": "expert"}, headers=upsert).status_code in {
        200,
        201,
    }
    assert (_profile(alice)["communication_style"], _profile(alice)["is_profiling_enabled"]) == ("concise", False)
    row = {"user_id": bob.id, "skill_level": "beginner"}
    assert bob.rest("POST", "user_llm_profiles", json=row, headers=upsert).status_code in {200, 201}
    assert (_profile(bob)["skill_level"], _profile(bob)["is_profiling_enabled"]) == ("beginner", True)


def test_a_deployment_may_learn_from_the_first_turn(alice: Person, db: Database, model: Models, stack: Stack) -> None:
    """With the setting `profiling` new profiles learn; the user can switch that off and delete the profile."""
    db.execute("insert into private.settings (name, value) values ('profiling', 'on')")
    try:
        turn = begin(alice, model("echo"))
        finish(alice, turn)
        _roll_up(stack)
        learned = [_profile(alice)[column] for column in _LEARNED]
        assert _profile(alice)["conversation_patterns"]["turns"] == 1
        assert alice.rest("POST", "user_llm_profiles", json={"skill_level": "expert"}).status_code == 201
        assert [_profile(alice)[column] for column in _LEARNED] == learned  # an own row goes on with what was learned
        running = begin(alice, turn["model"])
        assert alice.rest("POST", "rpc/delete_my_data").status_code == 204
        finish(alice, running)
        assert alice.rows("user_llm_profiles") == []
    finally:
        db.execute("delete from private.settings where name = 'profiling'")


def test_progress_is_kept_by_month(alice: Person, db: Database, stack: Stack) -> None:
    """Each month has turns, mean rating and skill, also after retention deleted its log rows."""
    alice.rest("POST", "user_llm_profiles", json={})
    row = db.execute(
        "select (now() at time zone 'utc')::date - 40 as earlier, (now() at time zone 'utc')::date as now"
    ).fetchone()
    assert row is not None
    earlier, now = str(row["earlier"])[:7], str(row["now"])[:7]
    _log(db, alice, 2, created_at=f"{row['earlier']} 12:00+00", user_skill_assessment="beginner")
    _log(db, alice, 1, user_skill_assessment="advanced")
    db.execute(
        "insert into public.feedback (turn_id, user_id, rating) select turn_id, user_id, 4 from public.chat_logs "
        "where user_id = %s and user_skill_assessment = 'advanced'",
        [alice.id],
    )
    _roll_up(stack)
    wanted = {
        earlier: {"turns": 2, "skill": "beginner"},
        now: {"turns": 1, "mean_rating": 4, "ratings": 1, "skill": "advanced"},
    }
    assert _profile(alice)["learning_progress"] == wanted
    assert _roll_up(stack) == 0
    db.execute("delete from public.chat_logs where user_id = %s and user_skill_assessment = 'beginner'", [alice.id])
    _roll_up(stack)
    assert _profile(alice)["learning_progress"] == wanted


def test_a_profile_goes_with_the_persons_data(alice: Person, bob: Person, db: Database) -> None:
    """delete_my_data and an account's deletion delete the profile, and no other profile."""
    for person in (alice, bob):
        person.rest("POST", "user_llm_profiles", json=_PREFERENCES)
    assert alice.rest("POST", "rpc/delete_my_data").status_code == 204
    assert alice.rows("user_llm_profiles") == []
    assert _profile(bob)["skill_level"] == "expert"
    db.execute("delete from auth.users where id = %s", [bob.id])
    assert db.execute("select from public.user_llm_profiles where user_id = %s", [bob.id]).fetchall() == []
