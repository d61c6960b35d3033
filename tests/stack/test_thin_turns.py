"""Settled turns keep what a replay and a late record need, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, log_row, service
from tests.stack.turns import KEY, Database, begin, die, fail, finish

_WORDS = {"question": "planted words", "requested_model": "planted model", "metadata": {"planted": "x"}}


def _thin(stack: Stack, **options: Any) -> int:
    answer = service(stack, "POST", "rpc/thin_turns", json=options)
    assert answer.status_code == 200, answer.text
    thinned: int = answer.json()
    return thinned


def _row(db: Database, turn: dict[str, Any], *, hours: int = 0) -> dict[str, Any]:
    """The write-ahead row, after it has aged by so many hours."""
    row = db.execute(
        "update private.turns set finished_at = finished_at - make_interval(hours => %s) where id = %s returning *",
        [hours, turn["turn_id"]],
    ).fetchone()
    assert row is not None
    return row


def test_a_settled_turn_keeps_no_text_and_its_log_row_does(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """A turn with a key loses its text after an hour; the log row, and the outcome of a repeated finish, stay."""
    turn = begin(alice, model("echo"), **_WORDS, **KEY)
    finish(alice, turn)
    assert _row(db, turn)["question"] == "planted words"
    assert _thin(stack) >= 0
    assert not _row(db, turn, hours=2)["is_thin"]
    before = log_row(db, turn["turn_id"])
    assert _thin(stack) >= 1
    row = _row(db, turn)
    assert (row["is_thin"], row["question"], row["requested_model"], row["metadata"]) == (True, None, None, {})
    assert log_row(db, turn["turn_id"]) == before
    assert before["question"] == "planted words"
    assert finish(alice, turn)["outcome"] == "duplicate"
    assert _thin(stack) == 0


def test_a_turn_without_a_key_is_thin_when_it_settles(alice: Person, model: Models, db: Database) -> None:
    """No replay and no price is needed any more; the log row has the rest."""
    turn = begin(alice, model("echo"), **_WORDS)
    finish(alice, turn)
    row = _row(db, turn)
    assert (row["is_thin"], row["question"], row["metadata"], row["routes"]) == (True, None, {}, [])
    assert log_row(db, turn["turn_id"])["question"] == "planted words"
    assert finish(alice, turn)["outcome"] == "duplicate"


def test_a_key_replays_a_thinned_turn(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """The client gets the same answer, model and receipt as before."""
    body = {"message": "once only", "model": model("echo"), "stream": False}
    headers = {"Idempotency-Key": "thin", "X-Request-Id": "again"}
    first = alice.ask(body, **headers)
    whole = alice.ask(body, **headers)
    _row(db, {"turn_id": first.json()["id"]}, hours=2)
    _thin(stack)
    row = _row(db, {"turn_id": first.json()["id"]})
    assert row["is_thin"]
    assert len(row["routes"]) == 1
    assert not {"pricing", "capabilities", "base_url"} & set(row["routes"][0])
    thin = alice.ask(body, **headers)
    assert (thin.status_code, thin.headers["idempotent-replayed"]) == (200, "true")
    assert thin.headers["x-model"] == whole.headers["x-model"]
    assert thin.json() == whole.json()
    other = alice.ask(body | {"message": "else"}, **headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")


def test_an_attempt_that_lost_its_lease_is_booked_by_its_price(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """A turn of two attempts keeps its prices, so that the first may still report its cost."""
    name = model("echo", pricing='{"input": 1, "output": 1}')
    lost = begin(alice, name, **KEY)
    die(db, lost)
    turn = begin(alice, name, **KEY)
    finish(alice, turn)
    _row(db, turn, hours=2)
    _thin(stack)
    assert _row(db, turn)["is_thin"]
    late = finish(alice, lost)
    assert (late["outcome"], late["cost_usd"]) == ("stale", 0.0015)


@pytest.mark.parametrize("end", [None, fail])
def test_a_turn_that_may_run_again_stays_whole(
    alice: Person, model: Models, db: Database, stack: Stack, end: Any
) -> None:
    """Running and failed turns keep what their next attempt needs."""
    turn = begin(alice, model("echo"), **_WORDS, **KEY)
    if end:
        end(alice, turn)
    _row(db, turn, hours=2)
    _thin(stack)
    assert (_row(db, turn)["question"], _row(db, turn)["is_thin"]) == ("planted words", False)


def test_no_more_turns_are_thinned_than_asked(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """A batch is a batch, the oldest first."""
    _thin(stack)
    keys = [KEY | {"idempotency_key": str(number)} for number in range(3)]
    turns = [begin(alice, model("echo"), **key) for key in keys]
    for number, turn in enumerate(turns):
        finish(alice, turn)
        _row(db, turn, hours=200 - number)
    assert _thin(stack, max_rows=2) == 2
    assert [_row(db, turn)["is_thin"] for turn in turns] == [True, True, False]
