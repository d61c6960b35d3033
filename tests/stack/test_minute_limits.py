"""requests_per_minute: a sliding window of each user, decided where a turn is admitted."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person
from tests.stack.turns import Database, asked


def _limit(db: Database, person: Person, per_minute: int | None) -> None:
    db.execute(
        "insert into public.usage_limits (scope, requests_per_minute) values (%s, %s)"
        " on conflict (scope) do update set requests_per_minute = excluded.requests_per_minute",
        [person.id, per_minute],
    )


def _age(db: Database, person: Person, seconds: int) -> None:
    db.execute(
        "update private.minute_windows set admitted_at = array("
        "select t - make_interval(secs => %s) from unnest(admitted_at) as t) where user_id = %s",
        [seconds, person.id],
    )


def _facts(answer: Any) -> dict[str, Any]:
    body = answer.json()
    details = json.loads(body["details"])
    assert (answer.status_code, details["code"]) == (429, "quota_exceeded"), body
    found: dict[str, Any] = details["metadata"]
    return found


def test_two_hundred_callers_never_exceed_the_limit(alice: Person, model: Models, db: Database) -> None:
    """Exactly as many turns are admitted as the limit allows, however many ask at once."""
    name = model("echo")
    _limit(db, alice, 7)
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda _: asked(alice, name, store=False).status_code, range(200)))
    assert statuses.count(200) == 7
    assert statuses.count(429) >= 150  # a busy database may answer 503 instead
    counted = db.execute("select requests from public.usage_counters where scope = %s", [alice.id]).fetchall()
    assert {row["requests"] for row in counted} == {7}


def test_the_window_slides(alice: Person, model: Models, db: Database) -> None:
    """The refusal says when the oldest turn leaves the window; then one more turn fits, and no second."""
    name = model("echo")
    _limit(db, alice, 2)
    assert asked(alice, name).status_code == 200
    _age(db, alice, 40)
    assert asked(alice, name).status_code == 200
    facts = _facts(asked(alice, name))
    assert (facts["scope"], facts["period"], facts["limit"], facts["used"]) == ("user", "minute", 2, 2)
    assert 10 <= facts["retry_after"] <= 20
    _age(db, alice, 20)
    assert asked(alice, name).status_code == 200
    assert 20 <= _facts(asked(alice, name))["retry_after"] <= 40


def test_a_refused_turn_takes_no_place(alice: Person, model: Models, db: Database) -> None:
    """Neither does a dry run, nor a turn that another cap refuses."""
    name = model("echo")
    _limit(db, alice, 1)
    db.execute("update public.usage_limits set daily_requests = 0 where scope = %s", [alice.id])
    assert asked(alice, name).status_code == 429
    db.execute("update public.usage_limits set daily_requests = null where scope = %s", [alice.id])
    assert asked(alice, name, dry_run=True).status_code == 200
    assert asked(alice, name).status_code == 200
    _facts(asked(alice, name))


def test_a_lower_limit_waits_for_enough_places(alice: Person, model: Models, db: Database) -> None:
    """After the limit was lowered below what is in the window, Retry-After is when one place is free."""
    name = model("echo")
    _limit(db, alice, 3)
    for _ in range(3):
        assert asked(alice, name).status_code == 200
        _age(db, alice, 10)
    _limit(db, alice, 1)
    assert 40 <= _facts(asked(alice, name))["retry_after"] <= 50
    _limit(db, alice, None)
    assert asked(alice, name).status_code == 200


def test_the_function_answers_with_retry_after(alice: Person, db: Database) -> None:
    """The header has the seconds of the refusal."""
    _limit(db, alice, 1)
    assert alice.ask({"message": "hi", "stream": False}).status_code == 200
    refused = alice.ask({"message": "hi", "stream": False})
    assert (refused.status_code, refused.json()["error"]["metadata"]["period"]) == (429, "minute")
    assert 0 < int(refused.headers["Retry-After"]) <= 60


def test_my_limits_shows_the_running_window(alice: Person, model: Models, db: Database) -> None:
    """The row has what is used, the limit, and when the next place is free; without a limit there is no row."""
    name = model("echo")
    assert [row["period"] for row in alice.rows("rpc/my_limits")] == ["day", "month"]
    _limit(db, alice, 2)
    minute = alice.rows("rpc/my_limits")[2]
    assert (minute["period"], minute["max_requests"], minute["requests"]) == ("minute", 2, 0)
    assert minute["resets_at"] is None
    for age in (30, 0):
        assert asked(alice, name).status_code == 200
        _age(db, alice, age)
    minute = alice.rows("rpc/my_limits")[2]
    refused = _facts(asked(alice, name))
    assert (minute["requests"], minute["resets_at"]) == (2, refused["resets_at"])
    _age(db, alice, 31)
    assert alice.rows("rpc/my_limits")[2]["requests"] == 1


@pytest.mark.parametrize(("scope", "limit"), [("global", 5), ("default", 0), ("default", 1001)])
def test_other_limits_are_refused(db: Database, scope: str, limit: int) -> None:
    """All users together have no window, because their turns would wait for each other."""
    with pytest.raises(Exception, match="usage_limits_requests_per_minute_check"):
        db.execute("update public.usage_limits set requests_per_minute = %s where scope = %s", [limit, scope])
