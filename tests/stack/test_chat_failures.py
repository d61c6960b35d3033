"""chat when the model, the database, the function or the client's connection fails."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import httpx
import jwt
import pytest

from tests.fakes.providers import Upstream
from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, eventually, frames, service, text_of
from tests.stack.turns import Database, reserved_usd

_SECRET = "s" * 40  # of a function that signs in by a secret of its own


def test_a_caller_who_hangs_up_leaves_a_cancelled_row_and_frees_the_model(
    alice: Person, model: Models, upstream: Upstream, db: Database
) -> None:
    """A hang-up stops the model, books the text so far, and releases the reservation."""
    name = model("endless")
    with httpx.stream(
        "POST", alice.stack["CHAT_URL"], json={"message": "go", "model": name}, headers=alice.headers, timeout=30
    ) as response:
        lines = response.iter_lines()
        next(line for line in lines if "text-delta" in line)
    assert upstream.hung_up.acquire(timeout=30)
    row = eventually(lambda: db.execute("select * from public.chat_logs where user_id = %s", [alice.id]).fetchone())
    assert row["status"] == "cancelled"
    assert row["response"].startswith("on ")
    assert row["input_tokens"] > 0
    assert row["output_tokens"] > 0
    assert row["cost_usd"] > 0
    assert row["usage_source"] == "estimate"
    assert reserved_usd(db, alice) == 0


def test_hanging_up_before_the_first_word_is_noticed_too(
    alice: Person, model: Models, upstream: Upstream, db: Database
) -> None:
    """A hang-up before the first content stops the model, with and without streaming."""
    name = named("silent", "client")
    for number, is_streaming in enumerate((True, False), 1):
        body = {"message": "go", "model": model(name), "stream": is_streaming}
        alice.leave(body, alice.stack["CHAT_URL"], when=partial(upstream.until_called, name, number))
        assert upstream.hung_up.acquire(timeout=30)
    eventually(lambda: len(alice.rows("chat_logs?status=eq.cancelled")) == 2)
    assert reserved_usd(db, alice) == 0


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("status-500", 502, "provider_error"),
        ("status-429", 503, "provider_overloaded"),
        ("status-401", 502, "provider_auth_failed"),
        ("status-400", 502, "provider_refused"),
        ("html", 502, "provider_error"),
    ],
)
def test_a_model_that_fails_at_once_is_an_http_status_and_a_failed_row(
    alice: Person, model: Models, db: Database, chat_url: str, kind: str, status: int, code: str
) -> None:
    """Only a refusal has the provider's reason; the turn costs nothing and is not counted."""
    body = {"message": "hello", "model": model(kind, provider="openai")}
    response = alice.ask(body, chat_url, origin="http://nowhere.example")
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert ("secret upstream words" in error["message"]) is (kind == "status-400")
    assert error["request_id"] == response.headers["x-request-id"]
    (row,) = alice.rows("chat_logs")
    assert (row["status"], row["error_code"], row["cost_usd"]) == ("failed", code, 0)
    assert reserved_usd(db, alice) == 0
    assert alice.rows("usage_counters?period=eq.day")[0]["requests"] == 0


def test_a_model_server_that_is_down_is_503_with_a_failed_row(alice: Person, model: Models) -> None:
    """If no server runs at the node's address, the response is 503 and the row is failed."""
    response = alice.ask(
        {"message": "hello", "model": model("echo", base_url="http://127.0.0.1:9/v1"), "stream": False}
    )
    assert (response.status_code, response.json()["error"]["code"]) == (503, "node_failed")
    assert alice.rows("chat_logs")[0]["status"] == "failed"


@pytest.mark.parametrize("kind", ["cut", "early", "malformed", "announced"])
def test_an_answer_that_breaks_off_ends_with_an_error_event_and_a_partial_row(
    alice: Person, model: Models, kind: str
) -> None:
    """After the first content a failure is an error event, the stream ends properly, and the row keeps the text."""
    response = alice.ask({"message": "one two", "model": model(kind)})
    events = frames(response.text)
    assert response.status_code == 200
    assert text_of(events) == "one two "
    assert [e["type"] for e in events[-4:]] == ["finish-step", "data-receipt", "error", "finish"]
    (row,) = alice.rows("chat_logs")
    assert (row["status"], row["response"]) == ("partial", "one two ")
    assert row["error_code"]


@pytest.mark.parametrize("ledger_url", ["", "postgresql://parley_ledger:x@127.0.0.1:9/postgres"])
def test_the_database_down_at_begin_is_503_and_nothing_is_called(
    alice: Person, function: Any, upstream: Upstream, ledger_url: str
) -> None:
    """If the database is down, the turn ends before any model call."""
    down = {"SUPABASE_URL": "http://127.0.0.1:9", "LEDGER_DATABASE_URL": ledger_url}
    url, _ = function("chat", SUPABASE_JWT_SECRET=_SECRET, **down)
    calls = len(upstream.received)
    response = alice.ask({"message": "hello"}, url, Authorization=f"Bearer {_hs256(alice, 'http://127.0.0.1:9')}")
    assert (response.status_code, response.json()["error"]["code"]) == (503, "database_unavailable")
    assert response.headers["retry-after"]
    assert len(upstream.received) == calls
    assert httpx.get(f"{url}/health").status_code == 200
    assert httpx.get(f"{url}/health/ready").status_code == 503


def test_a_killed_function_leaves_the_started_turn_visible_to_the_service_and_nothing_half_written(
    alice: Person, bob: Person, function: Any, model: Models, stack: Stack, upstream: Upstream
) -> None:
    """After kill -9 between begin and finish only the write-ahead row exists, with lease and reservation."""
    url, process = function("chat")
    name = model("endless")
    with httpx.stream(
        "POST", url, json={"message": "go", "model": name}, headers=alice.headers, timeout=30
    ) as response:
        lines = response.iter_lines()  # kept: an iterator that is let go hangs up
        next(line for line in lines if "text-delta" in line)
        process.kill()
        process.wait(10)
    assert upstream.hung_up.acquire(timeout=30)
    open_turns = service(stack, "POST", "rpc/open_turns").json()
    (mine,) = [turn for turn in open_turns if turn["user_id"] == alice.id]
    assert mine["route"] == name
    assert mine["lease_until"] > mine["started_at"]
    assert alice.rows("chat_logs") == []
    assert [m["role"] for m in alice.rows("messages")] == ["user"]
    counter = alice.rows("usage_counters?period=eq.day")[0]
    assert counter["reserved_usd"] == mine["reserved_usd"] > 0
    assert bob.rest("POST", "rpc/open_turns", json={}).json() == []


def test_a_retried_failure_is_a_failure_again_or_a_new_try(
    alice: Person, model: Models, upstream: Upstream, db: Database
) -> None:
    """After the first content the failure is replayed; before it a retry with the key runs the turn again."""
    broken = {"message": "one two", "model": model("cut"), "stream": False}
    answers = [alice.ask(broken, **{"Idempotency-Key": "broken"}) for _ in range(2)]
    assert [a.status_code for a in answers] == [503, 503]
    assert answers[1].headers["idempotent-replayed"] == "true"
    failing = {"message": "hello", "model": model("status-500"), "stream": False}
    calls = len(upstream.calls_of("status-500"))
    assert [alice.ask(failing, **{"Idempotency-Key": "failing"}).status_code for _ in range(2)] == [503, 503]
    assert len(upstream.calls_of("status-500")) == calls + 2
    assert len(alice.rows("chat_logs?status=eq.failed")) == 1
    assert reserved_usd(db, alice) == 0


def test_a_key_whose_caller_left_before_the_first_word_may_be_used_again(
    alice: Person, model: Models, upstream: Upstream, db: Database
) -> None:
    """A hang-up before content is charged for its input, and a retry with the key is answered."""
    name = named("silent", "client")
    body, key = {"message": "go", "model": model(name)}, {"Idempotency-Key": "again"}
    for number in (1, 2):
        alice.leave(body, alice.stack["CHAT_URL"], when=partial(upstream.until_called, name, number), **key)
        assert upstream.hung_up.acquire(timeout=30)
        eventually(lambda: reserved_usd(db, alice) == 0)
    (row,) = alice.rows("chat_logs")
    (counter,) = alice.rows("usage_counters?period=eq.day")
    assert row["status"] == "cancelled"
    assert row["cost_usd"] == counter["spent_usd"] > 0
    assert counter["requests"] == 2


def test_a_person_deleted_in_the_middle_of_their_stream_leaves_money_but_no_words(
    alice: Person, model: Models, upstream: Upstream, db: Database
) -> None:
    """The turn ends normally, its cost is booked, no reservation is left, and no text is stored."""
    name = model("endless")
    with httpx.stream(
        "POST", alice.stack["CHAT_URL"], json={"message": "my secret", "model": name}, headers=alice.headers, timeout=30
    ) as response:
        lines = response.iter_lines()
        next(line for line in lines if "text-delta" in line)
        assert _delete(alice).status_code == 200
    assert upstream.hung_up.acquire(timeout=30)
    row = eventually(
        lambda: db.execute("select * from public.chat_logs where model_identifier = %s", [name]).fetchone()
    )
    assert (row["status"], row["user_id"], row["question"], row["response"]) == ("cancelled", None, None, None)
    assert row["cost_usd"] > 0
    assert reserved_usd(db, alice) == 0
    assert alice.ask({"message": "still there?"}).status_code == 401


def _delete(person: Person) -> httpx.Response:
    url = f"{person.stack['SUPABASE_URL']}/auth/v1/admin/users/{person.id}"
    return httpx.delete(url, headers={"apikey": person.stack["SUPABASE_SERVICE_KEY"]})


def _hs256(person: Person, issuer: str) -> str:
    now = int(time.time())
    claims = {"sub": person.id, "aud": "authenticated", "role": "authenticated", "iat": now, "exp": now + 60}
    return jwt.encode(claims | {"iss": f"{issuer}/auth/v1"}, _SECRET, "HS256")
