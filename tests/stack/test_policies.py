"""Choosing a model is a policy: weighted arms that stick, the cheapest, fastest or best that fits."""

from __future__ import annotations

import json
import math
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, log_row
from tests.stack.routes import add_arms, priced_model
from tests.stack.turns import Database, asked, begin


@pytest.fixture
def quality(db: Database) -> Iterator[None]:
    """What is measured of models is this test's own."""
    db.execute("delete from public.model_quality")
    yield
    db.execute("delete from public.model_quality")


def _chosen(person: Person, model: str, **fields: Any) -> list[str]:
    return [route["identifier"] for route in begin(person, model, dry_run=True, **fields)["routes"]]


def _measured(db: Database, identifier: str, **values: Any) -> None:
    usual = {"turns": 100, "errors": 0, "mean_ttft_ms": None, "error_rate": 0, "mean_rating": None}
    received = usual | {"ratings": values.get("raters", 0), "raters": 0} | values
    db.execute(
        f"insert into public.model_quality (model_identifier, {', '.join(received)}) "
        f"values (%s, {', '.join(['%s'] * len(received))})",
        [identifier, *received.values()],
    )


def _can(db: Database, identifier: str, ability: str) -> None:
    change = "update public.llm_models set capabilities = capabilities || %s where identifier = %s"
    db.execute(change, [json.dumps({ability: True}), identifier])


def test_arms_share_conversations_by_weight_and_stick_to_them(
    alice: Person, db: Database, model: Models, chat_url: str
) -> None:
    """A conversation always has the same arm; many conversations have each arm by its weight."""
    heavy, light, reserve = (priced_model(model, 1) for _ in range(3))
    alias = add_arms(db, f"w{uuid.uuid4().hex[:8]}", (heavy, 3, 0), (light, 1, 0), (reserve, 0, 0))
    rows = db.execute(
        "select private.alias_chain(%s::uuid, %s, jsonb_build_object('seed', n)) as chain "
        "from generate_series(1, 2000) as n",
        [alice.id, alias],
    ).fetchall()
    chains = [[route["identifier"] for route in row["chain"]] for row in rows]
    shares = Counter(chain[0] for chain in chains)
    assert set(shares) == {heavy, light}  # one that weighs nothing is a fallback only
    assert abs(shares[heavy] / 2000 - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 2000)
    assert all(sorted(chain) == sorted([heavy, light, reserve]) and chain[2] == reserve for chain in chains)
    first = alice.ask({"message": "hi", "model": alias, "dry_run": True}, chat_url).json()["route"]["identifier"]
    assert first in shares


def test_a_conversation_stays_with_its_arm(alice: Person, db: Database, model: Models) -> None:
    """All its turns have the same arm, also after another arm is added; the row has alias and arm."""
    one, two = (model(f"echo~{uuid.uuid4().hex[:6]}") for _ in range(2))
    alias = add_arms(db, f"s{uuid.uuid4().hex[:8]}", (one, 1, 0), (two, 1, 0))
    first = alice.whole("hi", model=alias)
    served = {first["route"]["identifier"]}
    for _ in range(4):
        answer = alice.whole("again", model=alias, conversation_id=first["conversation_id"])
        served.add(answer["route"]["identifier"])
        row = log_row(db, answer["id"])
        assert (row["route_alias"], row["route_arm"]) == (alias, answer["route"]["identifier"])
    assert len(served) == 1
    assert log_row(db, alice.whole("hi", model=one)["id"])["route_alias"] is None


def test_a_new_arm_moves_only_what_it_takes(alice: Person, db: Database, model: Models) -> None:
    """Conversations that do not move to the new arm keep their arm."""
    arms = [priced_model(model, 1) for _ in range(3)]
    alias = add_arms(db, f"n{uuid.uuid4().hex[:8]}", (arms[0], 1, 0), (arms[1], 1, 0))
    ask = (
        "select private.alias_chain(%s::uuid, %s, jsonb_build_object('seed', n)) -> 0 ->> 'identifier' as arm "
        "from generate_series(1, 300) as n order by n"
    )
    before = [row["arm"] for row in db.execute(ask, [alice.id, alias]).fetchall()]
    add_arms(db, alias, (arms[2], 1, 0))
    after = [row["arm"] for row in db.execute(ask, [alice.id, alias]).fetchall()]
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert moved
    assert {new for _, new in moved} == {arms[2]}


@pytest.mark.usefixtures("quality")
def test_auto_is_the_cheapest_that_can_and_does(alice: Person, db: Database, model: Models) -> None:
    """Failing, badly rated, unpriced, unable, unreachable and too small models come last or are left out."""
    failing, hated, unpriced, blind, small, good, dearer = (
        priced_model(model, price) for price in (0.001, 0.002, None, 0.003, 0.004, 0.005, 0.006)
    )
    able = '{"context_window": 8192, "max_output_tokens": 1000, "supports_vision": true}'
    db.execute(
        "update public.llm_models set capabilities = %s where identifier = any(%s)",
        [able, [failing, hated, unpriced, good, dearer]],
    )
    db.execute(
        'update public.llm_models set capabilities = \'{"context_window": 600, "supports_vision": true}\' '
        "where identifier = %s",
        [small],
    )
    _measured(db, failing, error_rate=0.6)
    _measured(db, hated, raters=9, mean_rating=1.5)
    asked = {"needs": ["supports_vision"], "providers": ["openai"]}
    assert _chosen(alice, "auto", **asked)[:2] == [good, dearer]
    assert _chosen(alice, "cheap", **asked)[:2] == [good, dearer]
    assert blind in _chosen(alice, "auto", providers=["openai"])
    assert unpriced not in _chosen(alice, "auto", **asked)
    assert not {good, dearer} & set(_chosen(alice, "auto", needs=["supports_vision"], providers=["nobody"]))
    assert {route["alias"] for route in begin(alice, "auto", dry_run=True, **asked)["routes"]} == {"auto"}


@pytest.mark.usefixtures("quality")
def test_schemas_are_liked_but_not_needed(alice: Person, db: Database, model: Models) -> None:
    """A model without schema support comes after those with it, and gets the schema as text."""
    wordy, exact = priced_model(model, 0.001), priced_model(model, 0.002)
    _can(db, exact, "supports_json")
    assert _chosen(alice, "auto", providers=["openai"])[:2] == [wordy, exact]
    chosen = _chosen(alice, "auto", providers=["openai"], needs=["supports_json"])
    assert chosen.index(exact) < chosen.index(wordy) if wordy in chosen else exact in chosen


def test_a_request_that_no_model_can_serve_is_refused(alice: Person) -> None:
    """If no model of a policy fits, the error does not say that the policy is unknown."""
    answer = asked(alice, "auto", strict_model=True, needs=["supports_flight"], dry_run=True)
    assert (answer.status_code, json.loads(answer.json()["details"])["code"]) == (422, "validation_failed")


def test_an_arm_that_cannot_do_what_is_asked_comes_last(alice: Person, db: Database, model: Models) -> None:
    """An arm without the ability comes last despite weight and order, and does not determine the plan."""
    blind, seeing = priced_model(model, 1), priced_model(model, 1)
    _can(db, seeing, "supports_vision")
    alias = add_arms(db, f"v{uuid.uuid4().hex[:8]}", (blind, 9, 0), (seeing, 1, 1))
    assert _chosen(alice, alias) == [blind, seeing]
    assert _chosen(alice, alias, needs=["supports_vision"]) == [seeing, blind]


@pytest.mark.usefixtures("quality")
def test_fast_speaks_soonest_and_best_is_loved_most(alice: Person, db: Database, model: Models) -> None:
    """Few ratings have little weight; an unmeasured model comes after fast ones, and `best` ranks it by price."""
    slow, quick, loved, once = (priced_model(model, price) for price in (1, 2, 3, 4))
    unknown = priced_model(model, 900)
    asked = {"providers": ["openai"]}
    _measured(db, slow, mean_ttft_ms=900)
    _measured(db, quick, mean_ttft_ms=1)
    _measured(db, loved, mean_ttft_ms=500, raters=50, mean_rating=4.9)
    _measured(db, once, mean_ttft_ms=700, raters=1, mean_rating=5)
    assert _chosen(alice, "fast", **asked) == [quick, loved, once]
    assert _chosen(alice, "best", **asked) == [loved, once, unknown]


def test_an_arm_that_was_replaced_goes_on_with_its_successor(alice: Person, db: Database, model: Models) -> None:
    """Its conversations use the successor; a shared successor is tried once; a cycle of successors ends."""
    gone, heir, other = (priced_model(model, 1) for _ in range(3))
    alias = add_arms(db, f"r{uuid.uuid4().hex[:8]}", (gone, 1, 0), (other, 0, 0))
    db.execute("update public.llm_models set is_active = false, replaced_by = %s where model_key = %s", [heir, gone])
    assert _chosen(alice, alias) == [heir, other]
    add_arms(db, alias, (heir, 1, 1))
    assert _chosen(alice, alias) == [heir, other]
    db.execute("update public.llm_models set is_active = false, replaced_by = %s where model_key = %s", [alias, heir])
    assert _chosen(alice, alias) == [other]


@pytest.mark.usefixtures("quality")
def test_an_alias_with_arms_is_what_its_arms_say(alice: Person, db: Database, model: Models) -> None:
    """Arms that an operator adds replace the policy of the same name."""
    mine = priced_model(model, 50)
    add_arms(db, "fast", (mine, 1, 0))
    try:
        assert _chosen(alice, "fast") == [mine]
    finally:
        db.execute("delete from public.llm_routes where alias = 'fast'")
