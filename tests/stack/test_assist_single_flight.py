"""One of many callers of assist computes an answer; the others wait for it or take over."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.fakes.providers import Upstream
from tests.providers import variables
from tests.stack.assists import BRIEF, INSIGHT, calls_of, market, name_of, plays, post, says
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, eventually, log_row, service
from tests.stack.turns import Database


def test_a_hundred_cold_callers_make_one_call(
    alice: Person,
    assist_url: str,
    function: Callable[..., Any],
    able: Models,
    upstream: Upstream,
    db: Database,
) -> None:
    """Over two instances: one model call, one charge, and 99 hits that cost nothing."""
    other, _ = function("assist", **variables(upstream))
    model = plays(upstream, able("fixed"), says(INSIGHT, is_held=True))
    body = market() | {"model": model}
    with ThreadPoolExecutor(100) as pool:
        asked = [pool.submit(post, (assist_url, other)[number % 2], alice, BRIEF, body) for number in range(100)]
        assert upstream.until_called(name_of(model))
        upstream.release()
        answers = [each.result() for each in asked]
    assert {each.status_code for each in answers} == {200}
    assert sorted(each.headers["X-Cache"] for each in answers) == ["HIT"] * 99 + ["MISS"]
    assert calls_of(upstream, model) == 1
    rows = db.execute("select cost_usd, saved_usd from public.chat_logs where user_id = %s", [alice.id]).fetchall()
    assert len(rows) == 100
    assert sum(row["cost_usd"] > 0 for row in rows) == 1
    assert sum(row["saved_usd"] is not None for row in rows) == 99


def test_another_instance_takes_over_from_a_killed_one(
    alice: Person, assist_url: str, function: Callable[..., Any], able: Models, upstream: Upstream, db: Database
) -> None:
    """Those who wait for a killed instance get the answer of the next one when the lease has ended."""
    other, process = function("assist", **variables(upstream))
    model = plays(upstream, able("fixed"), says(INSIGHT, is_held=True), says(INSIGHT))
    body = market() | {"model": model}
    with ThreadPoolExecutor(2) as pool:
        lost = pool.submit(post, other, alice, BRIEF, body)
        assert upstream.until_called(name_of(model))
        waiting = pool.submit(post, assist_url, alice, BRIEF, body)
        process.kill()
        with pytest.raises(httpx.TransportError):
            lost.result()
        until = "select lease_until - now() as left from private.insight_leases where lease_until > now()"
        left = [row["left"].total_seconds() for row in db.execute(until).fetchall()]
        assert max(left) <= 15
        db.execute("update private.insight_leases set lease_until = now() where lease_until > now()")
        answer = waiting.result()
    assert (answer.status_code, answer.headers["X-Cache"]) == (200, "MISS")


def test_those_who_wait_get_the_failure_of_the_provider(
    alice: Person, assist_url: str, able: Models, upstream: Upstream
) -> None:
    """One of the callers asks; when the answer is invalid after its repair the others fail with it, without a call."""
    model = plays(upstream, able("fixed"), says("No.", is_held=True), says("No."))
    body = market() | {"model": model}
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(post, assist_url, alice, BRIEF, body)
        assert upstream.until_called(name_of(model))
        others = [pool.submit(post, assist_url, alice, BRIEF, body) for _ in range(4)]
        eventually(lambda: len(alice.rows("chat_logs?select=id")) == 0)
        upstream.release()
        codes = {each.result().json()["error"]["code"] for each in (first, *others)}
    assert codes == {"output_invalid"}


def test_a_caller_who_hangs_up_lets_the_next_one_compute(
    alice: Person, assist_url: str, able: Models, upstream: Upstream
) -> None:
    """The turn is booked as cancelled, and its lease is free at once."""
    model = plays(upstream, able("fixed"), says(INSIGHT, is_held=True), says(INSIGHT))
    body = market() | {"model": model}
    alice.leave(body, f"{assist_url}{BRIEF}", when=lambda: upstream.until_called(name_of(model)))
    assert upstream.until_hung_up(name_of(model))
    eventually(lambda: alice.rows("chat_logs?status=eq.cancelled&select=id"))
    assert post(assist_url, alice, BRIEF, body).headers["X-Cache"] == "MISS"


def test_an_idempotency_key_repeats_the_first_answer(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """The same key gives the same answer without a call, also for a hit and when the cache is empty."""
    model = plays(upstream, able("fixed"), says(INSIGHT), says(INSIGHT | {"headline": "Prices fall"}))
    body = market() | {"model": model}
    first = post(assist_url, alice, BRIEF, body, Idempotency_Key="one")
    hit = post(assist_url, alice, BRIEF, body, Idempotency_Key="two")
    assert [each.headers["X-Cache"] for each in (first, hit)] == ["MISS", "HIT"]
    db.execute("delete from public.ai_insights")
    for key in ("one", "two"):
        again = post(assist_url, alice, BRIEF, body, Idempotency_Key=key)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.json()["headline"] == "Prices rise"
        assert again.json()["receipt"]["cost_usd"] == 0
        other = post(assist_url, alice, BRIEF, body | {"locale": "de"}, Idempotency_Key=key)
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    assert calls_of(upstream, model) == 1
    assert post(assist_url, alice, BRIEF, body).json()["headline"] == "Prices fall"


def test_a_key_whose_answer_was_not_kept_says_so(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """A repeated key is refused without a call of the model, and not blamed for another body."""
    model = plays(upstream, able("fixed"), says(INSIGHT))
    body = market() | {"model": model}
    first = post(assist_url, alice, BRIEF, body, Idempotency_Key="one")
    db.execute("delete from private.insight_replays where turn_id = %s", [first.json()["receipt"]["turn_id"]])
    again = post(assist_url, alice, BRIEF, body, Idempotency_Key="one")
    error = again.json()["error"]
    assert (again.status_code, error["code"]) == (422, "idempotency_mismatch")
    assert "could not be stored" in error["message"]
    assert calls_of(upstream, model) == 1


def test_a_running_key_is_refused(alice: Person, assist_url: str, able: Models, upstream: Upstream) -> None:
    """A second request with the same key is 409 while the first one runs."""
    model = plays(upstream, able("fixed"), says(INSIGHT, is_held=True))
    body = market() | {"model": model}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, assist_url, alice, BRIEF, body, Idempotency_Key="one")
        assert upstream.until_called(name_of(model))
        second = post(assist_url, alice, BRIEF, body, Idempotency_Key="one")
        upstream.release()
        assert first.result().status_code == 200
    assert (second.status_code, second.json()["error"]["code"]) == (409, "request_in_progress")


def test_an_answer_that_is_not_kept_lets_the_next_one_compute(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, db: Database
) -> None:
    """With no-store the lease is free at its end; with a key the answer is kept for the key alone."""
    model = plays(upstream, able("fixed"), says(INSIGHT, is_held=True), says(INSIGHT))
    body = market() | {"model": model}
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, assist_url, alice, BRIEF, body, Cache_Control="no-store", Idempotency_Key="one")
        assert upstream.until_called(name_of(model))
        second = pool.submit(post, assist_url, alice, BRIEF, body)
        upstream.release()
        assert {first.result().headers["X-Cache"], second.result().headers["X-Cache"]} == {"MISS"}
    again = post(assist_url, alice, BRIEF, body, Cache_Control="no-store", Idempotency_Key="one")
    assert again.headers["Idempotent-Replayed"] == "true"
    kept = db.execute("select count(*) as n from public.ai_insights where model = %s", [model]).fetchone()
    assert kept == {"n": 1}


def test_a_lookup_may_be_sent_twice(alice: Person, stack: Stack, db: Database) -> None:
    """After a lost answer the same lookups keep the lease, and log a hit once."""
    lookup: dict[str, Any] = {"user_id": alice.id, "turn_id": str(uuid.uuid4()), "preset": "market-brief"}
    lookup |= {
        "input_hash": uuid.uuid4().hex,
        "is_public": True,
        "context_tokens": 10,
        "mode": "default",
        "prompt_version": "1",
    }

    def found() -> dict[str, Any]:
        answer = service(stack, "POST", "rpc/find_insights", json={"lookups": [lookup]}).json()
        result: dict[str, Any] = answer["results"][lookup["turn_id"]]
        return result

    first, second = found(), found()
    assert (first["outcome"], second["outcome"], second["fence"]) == ("compute", "compute", first["fence"] + 1)
    db.execute(
        """insert into public.ai_insights
             (cache_key, kind, scope, output, model, prompt_version, turn_id, expires_at)
           values (%s, 'market-brief', 'public', '{}', 'x:y', '1', gen_random_uuid(), now() + interval '1 day')""",
        [first["cache_key"]],
    )
    assert (found()["outcome"], found()["outcome"]) == ("hit", "hit")
    assert log_row(db, lookup["turn_id"])["preset_version"] == "1"
