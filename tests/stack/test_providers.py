"""chat with every provider and its scripted faults, over real HTTP and into real rows."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from shared import ledger
from shared.auth import Person as AuthPerson
from shared.events import Finish, Text
from shared.gateway import ModelSession, Options
from shared.messages import Message, Tool, ToolCall
from shared.turns import TurnRequest, TurnResult
from tests.fakes.providers import GOLDEN, HALVES_SANITISED, HOSTILE_SANITISED, Upstream
from tests.providers import STREAMING, named, variables
from tests.stack.conftest import Models, running_function
from tests.stack.people import Person, Stack, eventually, frames, log_row, receipt_of, text_of
from tests.stack.turns import Database

GOLDEN_USD = Decimal("0.000074000")  # 40 fresh and 20 cached tokens in, 12 out, at 1, 0.5 and 2 dollars a million
QUESTION = "one two three"
_numbers = itertools.count(1)


def _reserved(db: Database, person: Person) -> Decimal:
    row = db.execute(
        "select coalesce(sum(reserved_usd), 0) as held from public.usage_counters where scope = %s", [person.id]
    ).fetchone()
    assert row is not None
    held: Decimal = row["held"]
    return held


def _alias(db: Database, *identifiers: str) -> str:
    name = f"chain-{next(_numbers)}"
    for place, identifier in enumerate(identifiers):
        db.execute(
            "insert into public.llm_routes (alias, model_key, fallback_order) values (%s, %s, %s)",
            [name, identifier, place],
        )
    return name


@pytest.mark.parametrize("provider", STREAMING)
@pytest.mark.parametrize("kind", ["fixed", "think"])
def test_streamed_and_unstreamed_turns_cost_the_golden_amount(
    alice: Person, model: Models, db: Database, chat_url: str, provider: str, kind: str
) -> None:
    """Receipt, row and counters have the same tokens and cost, with and without streaming."""
    name = model(named(kind, provider), provider=provider)
    streamed = alice.ask({"message": QUESTION, "model": name}, chat_url)
    whole = alice.ask({"message": QUESTION, "model": name, "stream": False}, chat_url)
    receipts = [receipt_of(frames(streamed.text)), whole.json()["receipt"]]
    rows = [log_row(db, receipt["turn_id"]) for receipt in receipts]
    assert text_of(frames(streamed.text)) == whole.json()["message"]["content"] == "one two three"
    for receipt, row in zip(receipts, rows, strict=True):
        assert receipt["usage"] == {**GOLDEN, "source": "provider"}
        assert (row["cost_usd"], row["provider"], row["model_identifier"]) == (GOLDEN_USD, provider, name)
        assert [row[count] for count in GOLDEN] == list(GOLDEN.values())
        assert [(a["ok"], Decimal(str(a["cost_usd"]))) for a in row["attempts"]] == [(True, GOLDEN_USD)]
    assert streamed.headers["x-model"] == whole.headers["x-model"] == name
    assert streamed.headers["x-fallbacks"] == "0"
    (day,) = db.execute(
        "select * from public.usage_counters where scope = %s and period = 'day'", [alice.id]
    ).fetchall()
    assert (day["spent_usd"], day["reserved_usd"], day["requests"]) == (2 * GOLDEN_USD, 0, 2)


_BEFORE = {
    "status-429": (503, "provider_overloaded", 2),
    "status-429-after-600": (503, "provider_overloaded", 1),
    "status-401": (502, "provider_auth_failed", 1),
    "status-402": (502, "provider_auth_failed", 1),
    "status-500": (502, "provider_error", 2),
    "status-529": (503, "provider_overloaded", 2),
    "cut-first": (503, "provider_unreachable", 2),
    "early-first": (502, "provider_error", 2),
    "malformed-first": (502, "provider_error", 2),
    "overload-first": (503, "provider_overloaded", 2),
}


@pytest.mark.parametrize("provider", STREAMING)
@pytest.mark.parametrize("kind", _BEFORE)
def test_a_fault_before_the_first_word_is_a_status_and_a_failed_row(
    alice: Person, model: Models, db: Database, chat_url: str, provider: str, kind: str
) -> None:
    """Status, code and attempts are documented; nothing is sent, charged, counted or reserved."""
    status, code, attempts = _BEFORE[kind] if provider != "client" else (503, "node_failed", 1)
    body = {"message": QUESTION, "model": model(named(kind, provider), provider=provider)}
    response = alice.ask(body, chat_url)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert "secret" not in response.text
    assert response.headers["x-fallbacks"] == "0"
    if kind == "status-429-after-600" and provider != "client":
        assert response.headers["retry-after"] == "600"
    (row,) = alice.rows("chat_logs")
    assert (row["status"], row["error_code"], row["cost_usd"]) == ("failed", code, 0)
    assert [a["error_code"] for a in row["attempts"]] == [code] * attempts
    assert _reserved(db, alice) == 0
    assert alice.rows("usage_counters?period=eq.day")[0]["requests"] == 0


_AFTER = {
    "cut": (502, "answer_cut"),
    "early": (502, "answer_cut"),
    "malformed": (502, "provider_error"),
    "overload": (503, "provider_overloaded"),
}


@pytest.mark.parametrize("provider", STREAMING)
@pytest.mark.parametrize("kind", _AFTER)
@pytest.mark.parametrize("is_streaming", [True, False])
def test_a_fault_after_the_first_word_is_a_partial_row_without_a_second_answer(
    alice: Person, model: Models, db: Database, chat_url: str, provider: str, kind: str, is_streaming: bool
) -> None:
    """Sent text is charged; a stream ends with an error event, a JSON answer is an HTTP status."""
    status, code = _AFTER[kind] if provider != "client" else (503, "node_failed")
    body = {"message": QUESTION, "model": model(named(kind, provider), provider=provider), "stream": is_streaming}
    response = alice.ask(body, chat_url)
    if is_streaming:
        events = frames(response.text)
        assert (response.status_code, text_of(events)) == (200, "one two ")
        assert [e["type"] for e in events[-4:]] == ["finish-step", "data-receipt", "error", "finish"]
    else:
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    (row,) = alice.rows("chat_logs")
    assert (row["status"], row["response"], row["error_code"]) == ("partial", "one two ", code)
    assert 0 < row["cost_usd"] < 0.001
    assert row["output_tokens"] >= 2
    assert row["usage_source"] in {"partial", "estimate"}
    assert len(row["attempts"]) == 1
    assert _reserved(db, alice) == 0


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
    assert _reserved(db, alice) == 0


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


@pytest.mark.parametrize("provider", STREAMING)
@pytest.mark.parametrize("is_streaming", [True, False])
def test_a_caller_who_hangs_up_closes_the_socket_of_every_provider(
    alice: Person, model: Models, db: Database, chat_url: str, upstream: Upstream, provider: str, is_streaming: bool
) -> None:
    """The model stops within a second, and the row has its input and the text so far."""
    name = named("endless", provider)
    body = {"message": QUESTION, "model": model(name, provider=provider), "stream": is_streaming}
    with httpx.Client() as client:
        request = client.build_request("POST", chat_url, json=body, headers=alice.headers, timeout=30)
        if is_streaming:
            response = client.send(request, stream=True)
            lines = response.iter_lines()
            next(line for line in lines if "text-delta" in line)
            response.close()
        else:
            request.extensions["timeout"]["read"] = 0.5
            with pytest.raises(httpx.ReadTimeout):
                client.send(request)
    assert upstream.until_hung_up(name, 1.0)
    row = eventually(lambda: db.execute("select * from public.chat_logs where user_id = %s", [alice.id]).fetchone())
    assert row["status"] == "cancelled"
    assert row["input_tokens"] > 0
    assert row["cost_usd"] > 0
    assert row["error_code"] is None
    assert _reserved(db, alice) == 0


def test_no_provider_ever_sees_what_is_not_its_business(
    alice: Person, model: Models, chat_url: str, upstream: Upstream
) -> None:
    """A provider gets no token, cookie or request id of the user, and no Supabase key."""
    names = [named("echo", provider) for provider in STREAMING]
    for provider, name in zip(STREAMING, names, strict=True):
        body = {"message": QUESTION, "model": model(name, provider=provider), "stream": False}
        alice.ask(body, chat_url, cookie="session=mine", **{"X-Request-Id": "the-request-of-mine"})
    private = [alice.token, "session=mine", "the-request-of-mine", alice.id, alice.email]
    private += [alice.stack["SUPABASE_SERVICE_KEY"], alice.stack["SUPABASE_ANON_KEY"], alice.stack["CRON_SECRET"]]
    for name in names:
        (received,) = upstream.calls_of(name)
        sent = json.dumps([received.headers, received.body])
        assert [secret for secret in private if secret in sent] == []


@pytest.mark.parametrize("provider", STREAMING)
def test_hostile_text_of_every_provider_stays_text(alice: Person, model: Models, chat_url: str, provider: str) -> None:
    """It neither ends the stream nor adds a frame; characters that cannot be stored are replaced in the row."""
    asked = {"message": "go", "model": model(named("hostile", provider), provider=provider)}
    events = frames(alice.ask(asked, chat_url).text)
    assert text_of(events) == HOSTILE_SANITISED
    assert events[-1]["type"] == "finish"
    (message,) = alice.rows("messages?role=eq.assistant")
    assert message["content"] == HOSTILE_SANITISED
    whole = alice.ask(asked | {"stream": False}, chat_url)
    assert (whole.status_code, whole.json()["message"]["content"]) == (200, HOSTILE_SANITISED)


def test_a_character_that_a_host_cut_in_two_is_whole(alice: Person, model: Models, chat_url: str) -> None:
    """The stream, the JSON answer and the row have the whole character; a lone half is replaced."""
    asked = {"message": "go", "model": model(named("halves", "openai"), provider="openai")}
    assert text_of(frames(alice.ask(asked, chat_url).text)) == HALVES_SANITISED
    assert alice.ask(asked | {"stream": False}, chat_url).json()["message"]["content"] == HALVES_SANITISED
    assert {row["content"] for row in alice.rows("messages?role=eq.assistant")} == {HALVES_SANITISED}


def test_matcha_serves_a_model_of_the_catalogue_by_its_number(
    alice: Person, model: Models, db: Database, chat_url: str
) -> None:
    """matcha:<number> calls the model with this number; its price is unknown, its usage estimated."""
    number = int(named("echo", "matcha"))
    known = model(named("echo", "openai"), provider="openai")
    db.execute("update public.llm_models set matcha_llm_id = %s where model_key = %s", [number, known])
    answer = alice.ask({"message": QUESTION, "model": f"matcha:{number}", "stream": False}, chat_url)
    assert answer.headers["x-model"] == f"matcha:{number}"
    row = log_row(db, answer.json()["id"])
    assert (row["provider"], row["model"], row["cost_usd"]) == ("matcha", str(number), None)
    assert (row["usage_source"], row["input_tokens"] > 0) == ("estimate", True)


@pytest.fixture(scope="module")
def impatient_url(stack: Stack, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A chat whose turns have one second."""
    changes = variables(upstream) | {"TURN_SECONDS": "1"}
    with running_function(stack, "chat", changes, tmp_path_factory.mktemp("impatient")) as (url, _):
        yield url


@pytest.mark.parametrize("provider", STREAMING)
@pytest.mark.parametrize(
    ("kind", "status", "content"),
    [("stall-first", "failed", None), ("slow", "failed", None), ("stall", "partial", "one two ")],
)
def test_a_silence_ends_with_the_turns_time(
    alice: Person,
    model: Models,
    db: Database,
    impatient_url: str,
    provider: str,
    kind: str,
    status: str,
    content: str | None,
) -> None:
    """At the deadline a silent turn is 504 before the first content and partial after it; nothing stays reserved."""
    body = {"message": QUESTION, "model": model(named(kind, provider), provider=provider), "stream": False}
    response = alice.ask(body, impatient_url)
    expected = (503, "node_failed") if provider == "client" else (504, "provider_timeout")
    assert (response.status_code, response.json()["error"]["code"]) == expected
    (row,) = alice.rows("chat_logs")
    assert (row["status"], row["response"], row["error_code"]) == (status, content, expected[1])
    assert len(row["attempts"]) == 1  # less than five seconds were left
    assert 900 < row["duration_ms"] < 10_000
    assert _reserved(db, alice) == 0


TOOLS = (Tool("find", "Finds", {"type": "object", "properties": {"query": {"type": "string"}}}),)


@pytest.mark.anyio
@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize("provider", STREAMING)
async def test_a_conversation_with_a_tool_costs_the_same_at_every_provider(
    alice: Person, model: Models, db: Database, upstream: Upstream, environ: Any, provider: str
) -> None:
    """A turn of two calls, the second with the tool's result, is admitted, priced and booked as one."""
    environ(**variables(upstream), **{name: alice.stack[name] for name in _SUPABASE})
    name = model(named("tools", provider), provider=provider)
    _allow_tools(db, name)
    person = AuthPerson(alice.id, alice.token, is_anonymous=False, is_admin=False)
    ask = TurnRequest("chat", "r", "one two three, and all that goes with it", model=name)
    turn = await ledger.begin(person, ask)
    exchange = ModelSession(turn.routes, Options(tools=TOOLS), time.monotonic())
    messages: tuple[Message, ...] = (Message("user", ask.message),)
    first = [event async for event in exchange.events(messages)]
    calls = tuple(event for event in first if isinstance(event, ToolCall))
    finish = first[-1]
    assert isinstance(finish, Finish)
    assert [call.name for call in calls] == ["find"]
    messages += (Message("assistant", "Let me check.", calls, finish.native),)
    messages += (Message("tool", "forty-two", tool_call_id=calls[0].id),)
    answer = "".join([event.text async for event in exchange.events(messages) if isinstance(event, Text)])
    assert answer == "The tool said: forty-two "
    entry = TurnResult(turn, "completed", exchange.route, answer, exchange.usage, 5, attempts=tuple(exchange.attempts))
    receipt = await ledger.finish(entry)
    row = log_row(db, turn.turn_id)
    assert receipt.logged
    assert [row[count] for count in GOLDEN] == [2 * count for count in GOLDEN.values()]
    assert (row["cost_usd"], receipt.cost_usd) == (2 * GOLDEN_USD, float(2 * GOLDEN_USD))
    assert _reserved(db, alice) == 0


_SUPABASE = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY")


def _allow_tools(db: Database, name: str) -> None:
    db.execute(
        "update public.llm_models set capabilities = capabilities || '{\"supports_tools\": true}' where model_key = %s",
        [name],
    )
    db.execute(
        "update public.client_nodes set may_use_tools = true from public.llm_models as m "
        "where m.node_id = client_nodes.id and m.model_key = %s",
        [name],
    )
