"""When a provider fails: the next model of an alias answers, and circuits open."""

from __future__ import annotations

import itertools

from tests.fakes.providers import Upstream
from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.people import Person, frames, log_row, receipt_of
from tests.stack.turns import GOLDEN_USD, QUESTION, Database, reserved_usd

_numbers = itertools.count(1)


def _alias(db: Database, *identifiers: str) -> str:
    name = f"chain-{next(_numbers)}"
    for place, identifier in enumerate(identifiers):
        db.execute(
            "insert into public.llm_routes (alias, model_key, fallback_order) values (%s, %s, %s)",
            [name, identifier, place],
        )
    return name


def test_a_turn_survives_a_providers_bad_day(alice: Person, model: Models, db: Database, chat_url: str) -> None:
    """The next model of the alias answers; headers, receipt and row have it and the failed attempts."""
    down = model(named("status-500", "openai"), provider="openai", pricing='{"input": 900, "output": 900}')
    up = model(named("fixed", "anthropic"), provider="anthropic")
    alias = _alias(db, down, up)
    for is_streaming in (True, False):
        db.execute("delete from public.provider_health")
        response = alice.ask({"message": QUESTION, "model": alias, "stream": is_streaming}, chat_url)
        assert response.status_code == 200
        assert (response.headers["x-model"], response.headers["x-fallbacks"]) == (up, "1")
        receipt = receipt_of(frames(response.text)) if is_streaming else response.json()["receipt"]
        assert (receipt["route"]["identifier"], receipt["route"]["reason"]) == (up, "requested")
        assert receipt["route"]["fallbacks"] == [down]
        row = log_row(db, receipt["turn_id"])
        assert (row["provider"], row["requested_model"], row["cost_usd"]) == ("anthropic", alias, GOLDEN_USD)
        tried = [(a["identifier"], a["ok"]) for a in row["attempts"]]
        assert tried == [(down, False), (down, False), (up, True)]
    assert reserved_usd(db, alice) == 0


def test_the_alias_default_is_the_fallback_of_turns_that_name_no_model(
    alice: Person, model: Models, db: Database, chat_url: str
) -> None:
    """A turn that names no model is answered as long as one arm answers."""
    down, up = (
        model(named("status-500", "openai"), provider="openai"),
        model(named("fixed", "google"), provider="google"),
    )
    before = db.execute("select model_key, default_by from public.llm_models where is_default").fetchone()
    assert before is not None
    db.execute("update public.llm_models set is_default = true where model_key = %s", [down])
    db.execute("insert into public.llm_routes (alias, model_key) values ('default', %s)", [up])
    try:
        response = alice.ask({"message": QUESTION, "stream": False}, chat_url)
    finally:
        db.execute(
            "update public.llm_models set is_default = true, default_by = %s where model_key = %s",
            [before["default_by"], before["model_key"]],
        )
    assert response.headers["x-model"] == up
    assert response.json()["receipt"]["route"]["reason"] == "default"


def test_a_circuit_opens_for_the_person_who_met_three_faults(
    alice: Person, bob: Person, model: Models, db: Database, chat_url: str, upstream: Upstream
) -> None:
    """The model's circuit opens for that user; a fault of another user opens it for everyone."""
    failing, fine = named("status-500", "openai"), model(named("echo", "openai"), provider="openai")
    identifier = model(failing, provider="openai")
    body = {"message": QUESTION, "model": identifier, "stream": False}
    for _ in range(3):
        assert alice.ask(body, chat_url).json()["error"]["code"] == "provider_error"
    assert len(upstream.calls_of(failing)) == 6
    refused = alice.ask(body, chat_url)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "provider_unavailable")
    assert 0 < int(refused.headers["retry-after"]) <= 10
    assert len(upstream.calls_of(failing)) == 6
    assert alice.ask(body | {"model": fine}, chat_url).status_code == 200
    assert bob.ask(body, chat_url).json()["error"]["code"] == "provider_error"
    assert bob.ask(body, chat_url).json()["error"]["code"] == "provider_unavailable"
    health = db.execute("select provider_key, failures, reason from public.provider_health").fetchall()
    assert health == [{"provider_key": identifier, "failures": 4, "reason": "provider_error"}]


def test_a_refused_key_opens_the_circuit_for_minutes_at_once(
    alice: Person, bob: Person, model: Models, db: Database, chat_url: str
) -> None:
    """The next route answers this turn; later turns do not call the provider."""
    down, up = model(named("badkey", "google"), provider="google"), model(named("fixed", "openai"), provider="openai")
    alias = _alias(db, down, up)
    body = {"message": QUESTION, "model": alias, "stream": False}
    for person, tried in ((alice, ["provider_auth_failed", None]), (bob, ["provider_unavailable", None])):
        answer = person.ask(body, chat_url)
        assert (answer.headers["x-model"], answer.headers["x-fallbacks"]) == (up, "1")
        attempts = log_row(db, answer.json()["id"])["attempts"]
        assert [a["error_code"] for a in attempts] == tried
    left = db.execute("select extract(epoch from open_until - now()) as left from public.provider_health").fetchone()
    assert left is not None
    assert 200 < left["left"] <= 300


def test_a_model_that_is_not_served_to_us_closes_no_provider(
    alice: Person, bob: Person, model: Models, chat_url: str
) -> None:
    """Repeated 403s of one model do not open the circuit of its provider."""
    forbidden = model(named("status-403", "openai"), provider="openai")
    fine = model(named("fixed", "openai"), provider="openai")
    body = {"message": QUESTION, "model": forbidden, "stream": False}
    for _ in range(4):
        alice.ask(body, chat_url)
    assert bob.ask(body, chat_url).json()["error"]["code"] == "model_unavailable"
    for person in (alice, bob):
        assert person.ask(body | {"model": fine}, chat_url).status_code == 200


def test_a_refused_request_says_nothing_against_its_provider(
    alice: Person, model: Models, db: Database, chat_url: str
) -> None:
    """Invalid requests of a user do not open the circuit of a provider."""
    body = {"message": QUESTION, "model": model(named("status-400", "openai"), provider="openai"), "stream": False}
    for _ in range(4):
        assert alice.ask(body, chat_url).json()["error"]["code"] == "provider_refused"
    assert db.execute("select from public.provider_health").fetchall() == []
