"""What is measured of models and of the arms of an alias: turns, errors, time and ratings."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, new_admin, service, sign_up
from tests.stack.routes import add_arms, priced_model
from tests.stack.turns import Database, begin, die, fail, sweep, used


def test_arms_are_compared_with_counts_and_intervals(stack: Stack, db: Database, model: Models) -> None:
    """Each arm has turns, errors, cost and ratings with intervals; an admin sees those of all users."""
    person, admin = new_admin(stack), new_admin(stack)
    good, bad = model(f"echo~{uuid.uuid4().hex[:6]}"), model(f"status-400~{uuid.uuid4().hex[:6]}")
    alias = add_arms(db, f"c{uuid.uuid4().hex[:8]}", (good, 1, 0), (bad, 1, 0))
    answers = [person.ask({"message": "hi", "model": alias, "stream": False}) for _ in range(24)]
    rated = [answer.json()["id"] for answer in answers if answer.status_code == 200]
    for place, turn_id in enumerate(rated[:2]):
        verdict = {"turn_id": turn_id, "rating": 4 + place}
        assert person.rest("POST", "feedback", json=verdict).status_code == 201
    received = {row["arm"]: row for row in admin.rest("POST", "rpc/ab_results", json={"alias": alias}).json()}
    assert (received[good]["turns"], received[bad]["turns"]) == (len(rated), 24 - len(rated))
    for arm, rate in ((good, 0), (bad, 1)):
        row = received[arm]
        assert (row["errors"], float(row["error_rate"])) == (rate * row["turns"], rate)
        low, high = (float(bound) for bound in row["error_rate_interval"].strip("[]()").split(","))
        assert 0 <= low <= rate <= high <= 1
        assert high - low < 1
    assert (received[good]["ratings"], float(received[good]["mean_rating"])) == (2, 4.5)
    assert float(received[good]["mean_cost_usd"]) > 0
    assert admin.rest("POST", "rpc/ab_results", json={"alias": "no-such"}).json() == []


def test_models_are_measured_by_what_was_logged(stack: Stack, alice: Person, model: Models) -> None:
    """Each model has turns, errors, time to the first content and ratings; a second run gives the same."""
    good = model(f"echo~{uuid.uuid4().hex[:6]}")
    answer = alice.whole("hi", model=good)
    assert alice.ask({"message": "hi", "model": good}).status_code == 200
    assert alice.rest("POST", "feedback", json={"turn_id": answer["id"], "rating": 4}).status_code == 201
    for _ in range(2):
        assert service(stack, "POST", "rpc/measure_models", json={}).status_code == 200
        (row,) = alice.rows(f"model_quality?model_identifier=eq.{good}")
        assert (row["turns"], row["errors"], row["ratings"], row["raters"]) == (2, 0, 1, 1)
        assert row["mean_ttft_ms"] > 0


def _used(db: Database, identifier: str, person: Person, turns: int, errors: int) -> None:
    db.execute(
        "insert into public.usage_hourly (hour, user_id, model_identifier, requests, errors, ttft_count) "
        "values (date_trunc('hour', now(), 'UTC'), %s, %s, %s, %s, %s)",
        [person.id, identifier, turns, errors, turns - errors],
    )


@pytest.fixture
def undone(db: Database) -> Iterator[None]:
    """What the test does in SQL is undone."""
    with db.transaction(force_rollback=True):
        yield


@pytest.mark.usefixtures("undone")
def test_one_user_cannot_mark_a_model_as_failing(stack: Stack, db: Database, model: Models) -> None:
    """The error rate leaves out the user with the most errors, and anonymous users."""
    *people, no_user = (new_admin(stack) for _ in range(5))
    framed, failing, rare = (priced_model(model, 1) for _ in range(3))
    for person in people[1:]:
        _used(db, framed, person, 10, 1)
        _used(db, failing, person, 10, 6)
        _used(db, rare, person, 5, 5)
    _used(db, framed, people[0], 1000, 1000)
    _used(db, failing, people[0], 10, 7)
    db.execute("update auth.users set is_anonymous = true where id = %s", [no_user.id])
    _used(db, rare, no_user, 1000, 0)
    db.execute("select public.measure_models()")
    rows = db.execute("select * from public.model_quality where model_identifier = any(%s)", [[framed, failing, rare]])
    rates = {row["model_identifier"]: (row["turns"], row["error_rate"]) for row in rows}
    assert rates[framed] == (1030, Decimal("0.100"))
    assert rates[failing] == (40, Decimal("0.600"))
    assert rates[rare] == (1015, None)  # too few turns of distinct users


def test_turns_that_called_no_model_are_no_evidence(stack: Stack, db: Database, model: Models) -> None:
    """Admitted turns that are never finished, and refusals without a call, count neither as errors nor as answers."""
    name = model(f"echo~{uuid.uuid4().hex[:6]}")
    for person in (sign_up(stack), sign_up(stack)):
        turns = [begin(person, name) for _ in range(12)]
        for turn in turns[:2]:
            fail(person, turn, error_code="not_configured", usage=used(0, 0))
        fail(person, turns[2], error_code="turn_timeout")
        die(db, *turns[3:])
    assert sweep(stack) >= 18
    assert service(stack, "POST", "rpc/measure_models", json={}).status_code == 200
    row = db.execute("select * from public.model_quality where model_identifier = %s", [name]).fetchone()
    assert row is None or (row["errors"], row["error_rate"]) == (0, None)


@pytest.mark.usefixtures("undone")
def test_ratings_are_of_people(stack: Stack, db: Database, model: Models) -> None:
    """All ratings of one user count as one opinion, and a mean needs three users."""
    people = [new_admin(stack) for _ in range(3)]
    alone, shared = priced_model(model, 1), priced_model(model, 1)
    verdicts = [(alone, people[0], 1)] * 9 + [(shared, people[0], 1)] * 9
    verdicts += [(shared, people[1], 5), (shared, people[2], 3)]
    for identifier, person, rating in verdicts:
        log = db.execute(
            "insert into public.chat_logs (turn_id, user_id, endpoint, status, model_identifier, question) "
            "values (gen_random_uuid(), %s, 'chat', 'completed', %s, 'q') returning turn_id",
            [person.id, identifier],
        ).fetchone()
        assert log is not None
        db.execute(
            "insert into public.feedback (turn_id, user_id, rating) values (%s, %s, %s)",
            [log["turn_id"], person.id, rating],
        )
    db.execute("select public.measure_models()")
    rows = db.execute("select * from public.model_quality where model_identifier = any(%s)", [[alone, shared]])
    received = {row["model_identifier"]: (row["ratings"], row["raters"], row["mean_rating"]) for row in rows}
    assert received == {alone: (9, 1, None), shared: (11, 3, Decimal("3.000"))}


def test_measuring_twice_at_once_is_measuring_once(stack: Stack, alice: Person, model: Models) -> None:
    """Concurrent runs wait for each other."""
    assert alice.ask({"message": "hi", "model": model(f"echo~{uuid.uuid4().hex[:6]}")}).status_code == 200
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: service(stack, "POST", "rpc/measure_models", json={}).status_code, range(16))
    assert set(answers) == {200}
