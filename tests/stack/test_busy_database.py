"""A database that is busy: 503 with its own code, through the functions and for callers of the data API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, connect
from tests.stack.turns import Database, asked


@contextmanager
def _impatient(db: Database, function: str, usual: str) -> Iterator[None]:
    db.execute(f"alter function {function} set lock_timeout = '100ms'")
    try:
        yield
    finally:
        db.execute(f"alter function {function} set lock_timeout = '{usual}'")


@contextmanager
def _locked(stack: Stack, person: Person) -> Iterator[None]:
    with connect(stack) as other:
        other.execute("begin")
        other.execute("select from auth.users where id = %s for update", [person.id])
        other.execute("select from private.turns where user_id = %s for update", [person.id])
        try:
            yield
        finally:
            other.execute("rollback")


@pytest.fixture
def direct_chat(stack: Stack, function: Callable[..., tuple[str, object]]) -> str:
    """A chat with connections of its own to the database."""
    url, _ = function("chat", LEDGER_DATABASE_URL=stack["LEDGER_DATABASE_URL"])
    return url


@pytest.mark.parametrize("way", ["data API", "connection"])
def test_a_lock_that_is_not_released_is_503(
    alice: Person, model: Models, db: Database, way: str, request: pytest.FixtureRequest
) -> None:
    """Chat tries again once, then answers database_busy with Retry-After; afterwards the turn is answered."""
    url = alice.stack["CHAT_URL"] if way == "data API" else request.getfixturevalue("direct_chat")
    body = {"message": "hi", "model": model("echo"), "stream": False}
    with _impatient(db, "public.chat_begin(jsonb)", "3s"), _locked(alice.stack, alice):
        response = alice.ask(body, url)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "database_busy")
    assert int(response.headers["retry-after"]) > 0
    assert alice.ask(body, url).status_code == 200


def test_a_turn_that_waits_too_long_is_503_for_a_caller_of_the_data_api(
    alice: Person, model: Models, db: Database
) -> None:
    """PostgREST would answer a lock timeout with 500; the function's own refusal says to try again."""
    with _impatient(db, "public.chat_begin(jsonb)", "3s"), _locked(alice.stack, alice):
        refused = asked(alice, model("echo"))
    assert refused.status_code == 503, refused.text
    assert "database_busy" in refused.json()["details"]


def test_a_deletion_that_waits_too_long_is_503(alice: Person, model: Models, db: Database) -> None:
    """A caller of the data API gets a status that says to try again, and nothing is deleted."""
    ours = alice.whole("hi", model=model("echo"))["conversation_id"]
    with _locked(alice.stack, alice):
        for function, path, sent in (
            ("public.delete_my_data()", "rpc/delete_my_data", {}),
            ("public.delete_conversation(uuid)", "rpc/delete_conversation", {"conversation_id": ours}),
        ):
            with _impatient(db, function, "10s"):
                refused = alice.rest("POST", path, json=sent)
            assert refused.status_code == 503, refused.text
            assert "database_busy" in refused.json()["details"]
    assert len(alice.rows("llm_conversations")) == 1
    assert alice.rest("POST", "rpc/delete_my_data").status_code == 204
