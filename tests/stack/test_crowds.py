"""Many concurrent clients over real HTTP, with a real model server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.fakes.providers import Upstream
from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.people import Person, eventually
from tests.stack.turns import Database


def test_two_hundred_turns_with_fifty_left_are_fifty_calls_of_the_model(
    alice: Person, model: Models, db: Database, upstream: Upstream
) -> None:
    """The cap holds exactly; a refused client learns the limit, its reset time, and that it must not retry before."""
    db.execute("insert into public.usage_limits (scope, daily_requests) values (%s, 50)", [alice.id])
    name = named("echo", "client")
    body = {"message": "hello", "model": model(name), "stream": False}
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: alice.ask(body), range(200)))
    assert sorted(answer.status_code for answer in answers) == [200] * 50 + [429] * 150
    assert len(upstream.calls_of(name)) == 50
    refused = next(answer for answer in answers if answer.status_code == 429)
    error = refused.json()["error"]
    assert (error["code"], error["metadata"]["limit"], error["metadata"]["used"]) == ("quota_exceeded", 50, 50)
    assert error["metadata"]["resets_at"]
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["x-should-retry"] == "false"
    assert (refused.headers["x-ratelimit-limit-requests"], refused.headers["x-ratelimit-remaining-requests"]) == (
        "50",
        "0",
    )
    assert len(alice.rows("chat_logs")) == 50


def test_thirty_requests_with_one_key_are_one_call_of_the_model(
    alice: Person, model: Models, upstream: Upstream
) -> None:
    """One request answers, the others are in progress or get its answer, and one turn is counted and paid."""
    name = named("slow", "client")
    body = {"message": "hello", "model": model(name), "stream": False}
    with ThreadPoolExecutor(30) as pool:
        asking = [pool.submit(alice.ask, body, None, **{"Idempotency-Key": "one"}) for _ in range(30)]
        assert upstream.until_called(name)
        eventually(lambda: sum(each.done() for each in asking) >= 27)
        upstream.release()
        answers = [each.result() for each in asking]
    good = [answer for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert {answer.json()["message"]["content"] for answer in good} == {"one two three"}
    assert sum("idempotent-replayed" not in answer.headers for answer in good) == 1
    assert len(upstream.calls_of(name)) == 1
    (row,) = alice.rows("chat_logs")
    assert row["status"] == "completed"
    assert alice.rows("usage_counters?period=eq.day")[0]["requests"] == 1
    again = alice.ask(body | {"stream": True}, None, **{"Idempotency-Key": "one"})
    assert again.status_code == 422  # another body
    replayed = alice.ask(body, None, **{"Idempotency-Key": "one"})
    assert (replayed.status_code, replayed.headers["idempotent-replayed"]) == (200, "true")


def test_a_used_up_budget_is_refused_with_what_is_left(alice: Person, model: Models, db: Database) -> None:
    """A 402 has the period and what is spent, reserved and needed; a header has the remaining budget."""
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, 0.001)", [alice.id])
    refused = alice.ask({"message": "hello", "model": model("echo"), "stream": False})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["metadata"]["period"]) == (402, "budget_exceeded", "day")
    assert error["metadata"]["needed_usd"] > error["metadata"]["limit_usd"] == 0.001
    assert refused.headers["x-budget-remaining-usd"] == "0.001000000"
