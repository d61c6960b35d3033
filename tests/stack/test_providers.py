"""Chat through every provider, over real HTTP and into real rows: text, tools, cost and privacy."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from shared import ledger
from shared.auth import Person as AuthPerson
from shared.events import Finish, Text
from shared.gateway import ModelSession
from shared.messages import Message, Tool, ToolCall
from shared.model_request import Options
from shared.turns import TurnRequest, TurnResult
from tests.fakes.providers import GOLDEN, HALVES_SANITISED, HOSTILE_SANITISED, Upstream
from tests.providers import STREAMING, named, variables
from tests.stack.conftest import Models
from tests.stack.people import Person, frames, log_row, receipt_of, text_of
from tests.stack.turns import GOLDEN_USD, QUESTION, Database, reserved_usd


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
        assert receipt["usage"] == {**GOLDEN, "cache_write_tokens": 0, "source": "provider"}
        assert (row["cost_usd"], row["provider"], row["model_identifier"]) == (GOLDEN_USD, provider, name)
        assert [row[count] for count in GOLDEN] == list(GOLDEN.values())
        assert [(a["ok"], Decimal(str(a["cost_usd"]))) for a in row["attempts"]] == [(True, GOLDEN_USD)]
    assert streamed.headers["x-model"] == whole.headers["x-model"] == name
    assert streamed.headers["x-fallbacks"] == "0"
    (day,) = db.execute(
        "select * from public.usage_counters where scope = %s and period = 'day'", [alice.id]
    ).fetchall()
    assert (day["spent_usd"], day["reserved_usd"], day["requests"]) == (2 * GOLDEN_USD, 0, 2)


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
    session = ModelSession(turn.routes, Options(tools=TOOLS), time.monotonic())
    messages: tuple[Message, ...] = (Message("user", ask.message),)
    first = [event async for event in session.events(messages)]
    calls = tuple(event for event in first if isinstance(event, ToolCall))
    finish = first[-1]
    assert isinstance(finish, Finish)
    assert [call.name for call in calls] == ["find"]
    messages += (Message("assistant", "Let me check.", calls, finish.native),)
    messages += (Message("tool", "forty-two", tool_call_id=calls[0].id),)
    answer = "".join([event.text async for event in session.events(messages) if isinstance(event, Text)])
    assert answer == "The tool said: forty-two "
    entry = TurnResult(turn, "completed", session.route, answer, session.usage, 5, attempts=tuple(session.attempts))
    receipt = await ledger.finish(entry)
    row = log_row(db, turn.turn_id)
    assert receipt.logged
    assert [row[count] for count in GOLDEN] == [2 * count for count in GOLDEN.values()]
    assert (row["cost_usd"], receipt.cost_usd) == (2 * GOLDEN_USD, float(2 * GOLDEN_USD))
    assert reserved_usd(db, alice) == 0


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
