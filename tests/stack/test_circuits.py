"""Circuits: for which users a fault opens one, and for how long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack.people import Person, Stack, sign_up
from tests.stack.turns import Database

_FAULT = {"provider_key": "openai", "identifier": "openai:circuits", "ok": False, "is_fault": True, "error_code": "x"}
_FINE = _FAULT | {"ok": True, "is_fault": False}
_NO_KEY = _FAULT | {"is_fault": False, "open_seconds": 300, "error_code": "provider_auth_failed"}


@pytest.fixture
def circuits(db: Database) -> Iterator[Database]:
    """The database, which forgets its circuits afterwards."""
    yield db
    db.execute("delete from public.provider_health")


def _met(db: Database, person: Person, attempt: dict[str, Any], begun: str = "now()") -> None:
    db.execute(f"select private.record_health(%s, {begun}, %s)", [json.dumps([attempt]), person.id])


def _seconds(db: Database, person: Person, identifier: str = "openai:circuits") -> int | None:
    """For how long a person's turns cannot go to the model."""
    with db.transaction():
        db.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps({"sub": person.id})])
        row = db.execute(
            "select round(extract(epoch from private.circuit_until('openai', %s) - now()))::integer as left",
            [identifier],
        ).fetchone()
    return row["left"] if row else None


def _pass(db: Database, interval: str) -> None:
    """Lets so much time pass, as the circuits see it."""
    db.execute(
        """update public.provider_health set open_until = open_until - %(t)s::interval,
           failing_since = failing_since - %(t)s::interval, updated_at = updated_at - %(t)s::interval""",
        {"t": interval},
    )


def test_a_circuit_opens_for_everyone_after_faults_that_two_people_met(
    circuits: Database, alice: Person, bob: Person, stack: Stack
) -> None:
    """Three faults of two users open it for ten seconds, then for twenty; a success resets it."""
    third = sign_up(stack)
    for person, left in ((alice, None), (alice, None), (bob, 10)):
        _met(circuits, person, _FAULT)
        assert _seconds(circuits, third) == left
    assert _seconds(circuits, third, "openai:another") is None
    _pass(circuits, "11 seconds")
    assert _seconds(circuits, third) is None
    _met(circuits, alice, _FAULT)
    assert (_seconds(circuits, third), _seconds(circuits, bob)) == (None, None)
    _met(circuits, bob, _FAULT)
    assert _seconds(circuits, third) == 20
    _pass(circuits, "21 seconds")
    _met(circuits, third, _FINE)
    row = circuits.execute("select failures, openings, open_until, sole_user_id from public.provider_health").fetchone()
    assert row == {"failures": 0, "openings": 0, "open_until": None, "sole_user_id": None}


def test_repeated_faults_of_one_user_do_not_open_the_circuit_for_others_at_once(
    circuits: Database, alice: Person, bob: Person
) -> None:
    """The circuit is open for that user only, until another user meets a fault."""
    for _ in range(40):
        _met(circuits, alice, _FAULT | {"open_seconds": 60}, "now() + interval '1 hour'")
    assert _seconds(circuits, alice) == 300
    assert _seconds(circuits, bob) is None
    _met(circuits, bob, _FAULT)
    assert (_seconds(circuits, alice), _seconds(circuits, bob)) == (10, 10)


def test_one_person_opens_a_circuit_for_others_after_ten_minutes(
    circuits: Database, alice: Person, bob: Person
) -> None:
    """Faults of one user over ten minutes without a success open the circuit for everyone."""
    for _ in range(3):
        _met(circuits, alice, _FAULT)
    _pass(circuits, "9 minutes")
    _met(circuits, alice, _FAULT)
    assert _seconds(circuits, bob) is None
    _pass(circuits, "1 minute")
    _met(circuits, alice, _FAULT, "now() + interval '1 hour'")
    assert _seconds(circuits, bob) == 10


def test_faults_of_anonymous_people_count_for_themselves(
    circuits: Database, alice: Person, bob: Person, stack: Stack
) -> None:
    """Faults of two anonymous users do not open the circuit for everyone."""
    for person in (alice, bob):
        circuits.execute("update auth.users set is_anonymous = true where id = %s", [person.id])
    for _ in range(5):
        _met(circuits, alice, _FAULT)
        _met(circuits, bob, _FAULT)
    _pass(circuits, "11 minutes")
    _met(circuits, alice, _FAULT)
    third = sign_up(stack)
    assert (_seconds(circuits, third), _seconds(circuits, bob)) == (None, None)
    assert (_seconds(circuits, alice) or 0) > 0
    _met(circuits, third, _FAULT)
    assert (_seconds(circuits, third), _seconds(circuits, alice)) == (None, None)


def test_one_incident_opens_a_circuit_once(circuits: Database, alice: Person, bob: Person) -> None:
    """Calls that began before the opening neither extend nor close it; later calls do."""
    for _ in range(8):
        _met(circuits, alice, _FAULT)
        _met(circuits, bob, _FAULT)
    assert _seconds(circuits, alice) == 10
    _met(circuits, alice, _FINE)
    assert _seconds(circuits, bob) == 10
    _met(circuits, alice, _FINE, "now() + interval '11 s'")
    assert _seconds(circuits, bob) is None


def test_a_success_of_another_person_ends_the_run(circuits: Database, alice: Person, bob: Person) -> None:
    """A success of another user closes a circuit that one user's faults opened."""
    for _ in range(3):
        _met(circuits, alice, _FAULT)
    assert _seconds(circuits, alice) == 10
    _met(circuits, bob, _FINE)
    assert _seconds(circuits, alice) is None


def test_a_refused_key_closes_the_provider_for_everyone(circuits: Database, alice: Person, bob: Person) -> None:
    """It opens for all models for five minutes at once; a call that began earlier does not open it again."""
    _met(circuits, alice, _NO_KEY)
    assert (_seconds(circuits, bob), _seconds(circuits, bob, "openai:another")) == (300, 300)
    _met(circuits, bob, _FINE)
    assert _seconds(circuits, bob) == 300
    _met(circuits, bob, _FINE, "now() + interval '301 s'")
    assert _seconds(circuits, bob) is None


def test_a_node_has_one_circuit_under_the_same_rule(circuits: Database, alice: Person, bob: Person) -> None:
    """Every failure of a node counts for its one circuit; a rejected key opens it for one user only."""
    refused = {"provider_key": "client:7", "identifier": "client:7:m", "ok": False, "open_seconds": 300}
    _met(circuits, alice, refused)
    rows = circuits.execute("select provider_key, sole_user_id::text from public.provider_health").fetchall()
    assert rows == [{"provider_key": "client:7", "sole_user_id": alice.id}]
    _met(circuits, bob, refused)
    rows = circuits.execute("select provider_key, sole_user_id::text from public.provider_health").fetchall()
    assert rows == [{"provider_key": "client:7", "sole_user_id": None}]
