"""From the model name in a request to its routes, and the cost of each call."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.defaults import Resolve, default_of, resolve
from tests.stack.people import Person, log_row
from tests.stack.turns import Database, begin, finish

__all__ = ["resolve"]  # fixtures


@pytest.mark.parametrize(
    ("asked", "identifier"),
    [
        ("gpt-4o", "openai:gpt-4o"),
        ("openai:gpt-4o", "openai:gpt-4o"),
        ("claude-haiku-4-5", "anthropic:claude-haiku-4-5-20251001"),
        ("google:gemini-3.8-flash", "google:gemini-3.8-flash"),
        ("huggingface:meta-llama/Llama-3.1-8B-Instruct", "huggingface:meta-llama/Llama-3.1-8B-Instruct"),
        ("matcha:40", "matcha:40"),
    ],
)
def test_a_model_is_named_by_its_key_or_identifier(asked: str, identifier: str, resolve: Resolve) -> None:
    """Models of every provider can be named on a new database; the text after the first colon is verbatim."""
    route = resolve(asked)
    assert (route["identifier"], route["reason"]) == (identifier, "requested")


@pytest.mark.parametrize(
    "asked", ["nothing", "openai:", ":", "client:", "client:x:y", "matcha:99", "matcha:x", "x" * 300]
)
def test_an_unknown_model_is_the_default_or_when_strict_not_found(db: Database, asked: str, resolve: Resolve) -> None:
    """The receipt has the default and the reason; an unknown number of MatchAI is the same case."""
    route = resolve(asked)
    assert (route["identifier"], route["reason"]) == (default_of(db), "model_not_found")
    error = resolve(asked, strict_model=True)["error"]
    assert error["code"] == "model_not_found"


def test_a_replaced_model_is_its_successors_successor_unless_strict(
    db: Database, model: Models, resolve: Resolve
) -> None:
    """A chain of two successors leads to an active model; with `strict_model` it is not followed."""
    alive = model(named("echo", "openai"), provider="openai")
    first, second = (model(named("echo", "openai"), provider="openai") for _ in range(2))
    db.execute("update public.llm_models set is_active = false, replaced_by = %s where model_key = %s", [second, first])
    db.execute("update public.llm_models set is_active = false, replaced_by = %s where model_key = %s", [alive, second])
    assert resolve(first) | {"identifier": alive, "reason": "model_replaced"} == resolve(first)
    assert resolve(first, strict_model=True)["error"]["code"] == "model_not_found"
    db.execute("update public.llm_models set is_active = false, replaced_by = %s where model_key = %s", [first, alive])
    assert resolve(first)["reason"] == "model_not_found"  # a circle ends


def test_an_alias_is_its_arms_in_order_without_those_that_cannot_read_the_question(
    db: Database, model: Models, resolve: Resolve
) -> None:
    """A fallback with too small a context window is left out."""
    wide, small, last = (model(named("echo", "openai"), provider="openai") for _ in range(3))
    for place, key in enumerate((wide, small, last)):
        db.execute(
            "insert into public.llm_routes (alias, model_key, fallback_order) values ('three-arms', %s, %s)",
            [key, place],
        )
    narrow = json.dumps({"context_window": 300})
    db.execute("update public.llm_models set capabilities = %s where model_key = %s", [narrow, small])
    assert resolve("three-arms")["fallbacks"] == [small, last]
    assert resolve("three-arms", message="word " * 500)["fallbacks"] == [last]


def test_each_call_of_a_turn_is_priced_by_its_own_route(alice: Person, db: Database, model: Models) -> None:
    """A failed call and the answer each have their own usage and price; the row has both."""
    dear = model(named("echo", "openai"), pricing='{"input": 100, "output": 200}', provider="openai")
    cheap = model(named("echo", "openai"), provider="openai")
    free = model(named("echo", "openai"), pricing=None, provider="openai")
    for place, key in enumerate((dear, cheap, free)):
        db.execute(
            "insert into public.llm_routes (alias, model_key, fallback_order) values ('priced', %s, %s)", [key, place]
        )
    begun = begin(alice, "priced")
    assert [route["identifier"] for route in begun["routes"]] == [dear, cheap, free]
    used = {"input_tokens": 1000, "output_tokens": 10, "cached_tokens": 400, "source": "provider"}
    attempts: list[dict[str, Any]] = [
        {"identifier": dear, "ok": False, "usage": {"input_tokens": 1000, "output_tokens": 0}, "error_code": "x"},
        {"identifier": dear, "ok": False, "usage": None, "error_code": "x"},
        {"identifier": cheap, "ok": True, "usage": used},
        {"identifier": free, "ok": True, "usage": used},
    ]
    booked = finish(alice, begun, identifier=cheap, usage=used, attempts=attempts)
    row = log_row(db, begun["turn_id"])
    # 1000 at 100; then 600 at 1, 400 at 0.5 and 10 at 2 dollars a million; the last has no known price
    assert row["cost_usd"] == Decimal("0.100820000") == Decimal(str(booked["cost_usd"]))
    assert [attempt.get("cost_usd") for attempt in row["attempts"]] == [0.1, None, 0.00082, None]
    (day,) = alice.rows("usage_counters?period=eq.day")
    assert (day["spent_usd"], day["reserved_usd"]) == (0.10082, 0)


def test_a_price_with_tiers_is_the_tiers(alice: Person, db: Database, model: Models) -> None:
    """Above its threshold a tier's price applies to all tokens of the prompt."""
    tiers = '{"input": 1, "output": 2, "tiers": [{"above_input_tokens": 59, "input": 10, "output": 20}]}'
    plain = alice.whole("one", model=model("fixed~plain", pricing='{"input": 1, "output": 2}'), max_tokens=100)
    dear = alice.whole("one", model=model("fixed~tiers", pricing=tiers), max_tokens=100)
    counted = log_row(db, dear["id"])
    assert counted["input_tokens"] == 60
    assert counted["cost_usd"] == 10 * log_row(db, plain["id"])["cost_usd"]


def test_a_model_of_the_catalogue_has_one_name_and_one_switch(db: Database, model: Models, resolve: Resolve) -> None:
    """Another spelling of a project node's model avoids neither its price nor its deactivation."""
    name = model("echo", pricing='{"input": 1000, "output": 1000}')
    node = name.split(":")[1]
    db.execute('update public.client_nodes set models = \'[{"id": "echo"}, {"id": "other"}]\' where id = %s', [node])
    assert resolve(f"client:0{node}:echo")["reason"] == "model_not_found"
    assert resolve(f"client:{node}:other")["reason"] == "requested"
    db.execute("update public.llm_models set is_active = false where model_key = %s", [name])
    assert resolve(name, strict_model=True)["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("pricing", '{"input": "abc", "output": 1}'),
        ("pricing", '{"input": null, "output": 1}'),
        ("pricing", '{"input": -1, "output": 1}'),
        ("pricing", '{"output": 1}'),
        ("pricing", '{"input": 1, "output": 1, "tiers": "x"}'),
        ("pricing", '{"input": 1, "output": 1, "tiers": [{"above_input_tokens": 5, "output": 1}]}'),
        ("pricing", '{"input": 1, "output": 1, "tiers": [{"input": 5, "output": 1}]}'),
        ("capabilities", '{"context_window": "128k"}'),
        ("capabilities", '{"context_window": 1.5}'),
        ("capabilities", '{"max_output_tokens": 0}'),
        ("capabilities", '{"supports_tools": "yes"}'),
    ],
)
def test_a_value_that_breaks_arithmetic_is_refused_on_write(db: Database, column: str, value: str) -> None:
    """A check constraint refuses it, because one such row would fail the turns of all users."""
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(f"update public.llm_models set {column} = %s where model_key = 'gpt-4o'", [value])


def test_a_failed_lookup_is_in_the_row_and_counted(alice: Person, bob: Person, model: Models, db: Database) -> None:
    """Lookups from request, conversation and profile are in the row; admins count all, users their own."""
    name, unknown = model("echo"), f"gpt-9-{uuid.uuid4().hex[:8]}"
    for fields in ({"model": unknown}, {"model": name}):
        alice.whole("hi", **fields)
    conversation = alice.whole("hi", model=name)["conversation_id"]
    path = f"llm_conversations?id=eq.{conversation}"
    assert alice.rest("PATCH", path, json={"default_model": unknown}).status_code == 204
    alice.whole("hi", conversation_id=conversation)
    bob.rest("POST", "user_llm_profiles", json={"preferred_model": "me@example.com"})
    bob.whole("hi")
    rows = alice.rows("chat_logs?select=route_reason,unresolved_model&order=id")
    wanted = [("model_not_found", unknown), ("requested", None), ("requested", None), ("model_not_found", unknown)]
    assert [(row["route_reason"], row["unresolved_model"]) for row in rows] == wanted
    assert bob.rows("chat_logs?select=route_reason,unresolved_model") == [
        {"route_reason": "model_not_found", "unresolved_model": None}
    ]
    counted = alice.rest("POST", "rpc/lookup_failures", json={}).json()
    assert [(row["asked_model"], row["turns"], row["people"]) for row in counted] == [(unknown, 2, 1)]
    assert alice.rest("POST", "rpc/delete_my_data").status_code == 204
    row = db.execute("select count(*) from public.chat_logs where unresolved_model = %s", [unknown]).fetchone()
    assert row == {"count": 0}
