"""Policies and weighted arms, and the measurements behind them."""

from __future__ import annotations

import json
import math
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, log_row, new_admin, service
from tests.stack.turns import Database, asked, begin


@pytest.fixture
def quality(db: Database) -> Iterator[None]:
    """What is measured of models is this test's own."""
    db.execute("delete from public.model_quality")
    yield
    db.execute("delete from public.model_quality")


def _arms(db: Database, alias: str, *arms: tuple[str, float, int]) -> str:
    for key, weight, order in arms:
        db.execute(
            "insert into public.llm_routes (alias, model_key, weight, fallback_order) values (%s, %s, %s, %s)",
            [alias, key, weight, order],
        )
    return alias


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


def _priced(model: Models, price: float | None) -> str:
    pricing = None if price is None else json.dumps({"input": price, "output": price})
    return model(named("echo", "openai"), pricing=pricing, provider="openai")


def test_arms_share_conversations_by_weight_and_stick_to_them(
    alice: Person, db: Database, model: Models, chat_url: str
) -> None:
    """A conversation always has the same arm; many conversations have each arm by its weight."""
    heavy, light, reserve = (_priced(model, 1) for _ in range(3))
    alias = _arms(db, f"w{uuid.uuid4().hex[:8]}", (heavy, 3, 0), (light, 1, 0), (reserve, 0, 0))
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
    alias = _arms(db, f"s{uuid.uuid4().hex[:8]}", (one, 1, 0), (two, 1, 0))
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
    arms = [_priced(model, 1) for _ in range(3)]
    alias = _arms(db, f"n{uuid.uuid4().hex[:8]}", (arms[0], 1, 0), (arms[1], 1, 0))
    ask = (
        "select private.alias_chain(%s::uuid, %s, jsonb_build_object('seed', n)) -> 0 ->> 'identifier' as arm "
        "from generate_series(1, 300) as n order by n"
    )
    before = [row["arm"] for row in db.execute(ask, [alice.id, alias]).fetchall()]
    _arms(db, alias, (arms[2], 1, 0))
    after = [row["arm"] for row in db.execute(ask, [alice.id, alias]).fetchall()]
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert moved
    assert {new for _, new in moved} == {arms[2]}


@pytest.mark.usefixtures("quality")
def test_auto_is_the_cheapest_that_can_and_does(alice: Person, db: Database, model: Models) -> None:
    """Failing, badly rated, unpriced, unable, unreachable and too small models come last or are left out."""
    failing, hated, unpriced, blind, small, good, dearer = (
        _priced(model, price) for price in (0.001, 0.002, None, 0.003, 0.004, 0.005, 0.006)
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
    wordy, exact = _priced(model, 0.001), _priced(model, 0.002)
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
    blind, seeing = _priced(model, 1), _priced(model, 1)
    _can(db, seeing, "supports_vision")
    alias = _arms(db, f"v{uuid.uuid4().hex[:8]}", (blind, 9, 0), (seeing, 1, 1))
    assert _chosen(alice, alias) == [blind, seeing]
    assert _chosen(alice, alias, needs=["supports_vision"]) == [seeing, blind]


@pytest.mark.usefixtures("quality")
def test_fast_speaks_soonest_and_best_is_loved_most(alice: Person, db: Database, model: Models) -> None:
    """Few ratings have little weight; an unmeasured model comes after fast ones, and `best` ranks it by price."""
    slow, quick, loved, once = (_priced(model, price) for price in (1, 2, 3, 4))
    unknown = _priced(model, 900)
    asked = {"providers": ["openai"]}
    _measured(db, slow, mean_ttft_ms=900)
    _measured(db, quick, mean_ttft_ms=1)
    _measured(db, loved, mean_ttft_ms=500, raters=50, mean_rating=4.9)
    _measured(db, once, mean_ttft_ms=700, raters=1, mean_rating=5)
    assert _chosen(alice, "fast", **asked) == [quick, loved, once]
    assert _chosen(alice, "best", **asked) == [loved, once, unknown]


def test_an_arm_that_was_replaced_goes_on_with_its_successor(alice: Person, db: Database, model: Models) -> None:
    """Its conversations use the successor; a shared successor is tried once; a cycle of successors ends."""
    gone, heir, other = (_priced(model, 1) for _ in range(3))
    alias = _arms(db, f"r{uuid.uuid4().hex[:8]}", (gone, 1, 0), (other, 0, 0))
    db.execute("update public.llm_models set is_active = false, replaced_by = %s where model_key = %s", [heir, gone])
    assert _chosen(alice, alias) == [heir, other]
    _arms(db, alias, (heir, 1, 1))
    assert _chosen(alice, alias) == [heir, other]
    db.execute("update public.llm_models set is_active = false, replaced_by = %s where model_key = %s", [alias, heir])
    assert _chosen(alice, alias) == [other]


@pytest.mark.usefixtures("quality")
def test_an_alias_with_arms_is_what_its_arms_say(alice: Person, db: Database, model: Models) -> None:
    """Arms that an operator adds replace the policy of the same name."""
    mine = _priced(model, 50)
    _arms(db, "fast", (mine, 1, 0))
    try:
        assert _chosen(alice, "fast") == [mine]
    finally:
        db.execute("delete from public.llm_routes where alias = 'fast'")


def test_arms_are_compared_with_counts_and_intervals(stack: Stack, db: Database, model: Models) -> None:
    """Each arm has turns, errors, cost and ratings with intervals; an admin sees those of all users."""
    person, admin = new_admin(stack), new_admin(stack)
    good, bad = model(f"echo~{uuid.uuid4().hex[:6]}"), model(f"status-400~{uuid.uuid4().hex[:6]}")
    alias = _arms(db, f"c{uuid.uuid4().hex[:8]}", (good, 1, 0), (bad, 1, 0))
    answers = [person.ask({"message": "hi", "model": alias, "stream": False}) for _ in range(24)]
    rated = [answer.json()["id"] for answer in answers if answer.status_code == 200]
    for place, turn_id in enumerate(rated[:2]):
        verdict = {"turn_id": turn_id, "rating": 4 + place}
        assert person.rest("POST", "feedback", json=verdict).status_code == 201
    received = {row["arm"]: row for row in admin.rest("POST", "rpc/ab_results", json={"alias": alias}).json()}
    assert (received[good]["turns"], received[bad]["turns"]) == (len(rated), 24 - len(rated))
    for arm, rate in ((good, 0), (bad, 1)):
        row = received[arm]
        assert (row["errors"], float(row["error_rate"])) == (rate * row["turns"], rate)
        low, high = (float(bound) for bound in row["error_rate_interval"].strip("[]()").split(","))
        assert 0 <= low <= rate <= high <= 1
        assert high - low < 1
    assert (received[good]["ratings"], float(received[good]["mean_rating"])) == (2, 4.5)
    assert float(received[good]["mean_cost_usd"]) > 0
    assert admin.rest("POST", "rpc/ab_results", json={"alias": "no-such"}).json() == []


def test_models_are_measured_by_what_was_logged(stack: Stack, alice: Person, model: Models) -> None:
    """Each model has turns, errors, time to the first content and ratings; a second run gives the same."""
    good = model(f"echo~{uuid.uuid4().hex[:6]}")
    answer = alice.whole("hi", model=good)
    assert alice.ask({"message": "hi", "model": good}).status_code == 200
    assert alice.rest("POST", "feedback", json={"turn_id": answer["id"], "rating": 4}).status_code == 201
    for _ in range(2):
        assert service(stack, "POST", "rpc/measure_models", json={}).status_code == 200
        (row,) = alice.rows(f"model_quality?model_identifier=eq.{good}")
        assert (row["turns"], row["errors"], row["ratings"], row["raters"]) == (2, 0, 1, 1)
        assert row["mean_ttft_ms"] > 0


def _used(db: Database, identifier: str, person: Person, turns: int, errors: int) -> None:
    db.execute(
        "insert into public.usage_daily (day, user_id, model_identifier, requests, errors) "
        "values ((now() at time zone 'utc')::date, %s, %s, %s, %s)",
        [person.id, identifier, turns, errors],
    )


@pytest.fixture
def undone(db: Database) -> Iterator[None]:
    """What the test does in SQL is undone."""
    with db.transaction(force_rollback=True):
        yield


@pytest.mark.usefixtures("undone")
def test_one_user_cannot_mark_a_model_as_failing(stack: Stack, db: Database, model: Models) -> None:
    """The error rate leaves out the user with the most errors, and anonymous users."""
    *people, no_user = (new_admin(stack) for _ in range(5))
    framed, failing, rare = (_priced(model, 1) for _ in range(3))
    for person in people[1:]:
        _used(db, framed, person, 10, 1)
        _used(db, failing, person, 10, 6)
        _used(db, rare, person, 5, 5)
    _used(db, framed, people[0], 1000, 1000)
    _used(db, failing, people[0], 10, 7)
    db.execute("update auth.users set is_anonymous = true where id = %s", [no_user.id])
    _used(db, rare, no_user, 1000, 0)
    db.execute("select public.measure_models()")
    rows = db.execute("select * from public.model_quality where model_identifier = any(%s)", [[framed, failing, rare]])
    rates = {row["model_identifier"]: (row["turns"], row["error_rate"]) for row in rows}
    assert rates[framed] == (1030, Decimal("0.100"))
    assert rates[failing] == (40, Decimal("0.600"))
    assert rates[rare] == (1015, None)  # too few turns of distinct users


@pytest.mark.usefixtures("undone")
def test_ratings_are_of_people(stack: Stack, db: Database, model: Models) -> None:
    """All ratings of one user count as one opinion, and a mean needs three users."""
    people = [new_admin(stack) for _ in range(3)]
    alone, shared = _priced(model, 1), _priced(model, 1)
    verdicts = [(alone, people[0], 1)] * 9 + [(shared, people[0], 1)] * 9
    verdicts += [(shared, people[1], 5), (shared, people[2], 3)]
    for identifier, person, rating in verdicts:
        log = db.execute(
            "insert into public.chat_logs (turn_id, user_id, endpoint, status, model_identifier, question) "
            "values (gen_random_uuid(), %s, 'chat', 'completed', %s, 'q') returning turn_id",
            [person.id, identifier],
        ).fetchone()
        assert log is not None
        db.execute(
            "insert into public.feedback (turn_id, user_id, rating) values (%s, %s, %s)",
            [log["turn_id"], person.id, rating],
        )
    db.execute("select public.measure_models()")
    rows = db.execute("select * from public.model_quality where model_identifier = any(%s)", [[alone, shared]])
    received = {row["model_identifier"]: (row["ratings"], row["raters"], row["mean_rating"]) for row in rows}
    assert received == {alone: (9, 1, None), shared: (11, 3, Decimal("3.000"))}


def test_measuring_twice_at_once_is_measuring_once(stack: Stack, alice: Person, model: Models) -> None:
    """Concurrent runs wait for each other."""
    assert alice.ask({"message": "hi", "model": model(f"echo~{uuid.uuid4().hex[:6]}")}).status_code == 200
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: service(stack, "POST", "rpc/measure_models", json={}).status_code, range(16))
    assert set(answers) == {200}


def test_a_catalogue_that_was_left_without_a_default_gets_one(stack: Stack, db: Database) -> None:
    """If there is no default, the next successful list sets one, and the changes name it."""
    before = db.execute("select id, default_by from public.llm_models where is_default").fetchone()
    assert before is not None
    db.execute("update public.llm_models set is_default = false where is_default")
    lease = {"job": "refresh", "holder_id": str(uuid.uuid4()), "ttl_seconds": 30}
    fence = service(stack, "POST", "rpc/take_lease", json=lease).json()
    name = f"healing-{uuid.uuid4().hex[:6]}"
    listed = [{"upstream_id": name, "model_key": name, "model_name": name, "is_addable": True}]
    merge = {"provider": name, "listed": listed, "fence": fence, "usable": [name]}
    try:
        received = service(stack, "POST", "rpc/merge_models", json={"merge": merge}).json()
        assert any("the default is now" in words for words in received["changes"]), received
        assert db.execute("select count(*) as n from public.llm_models where is_default").fetchall() == [{"n": 1}]
    finally:
        service(
            stack, "POST", "rpc/release_lease", json={"job": "refresh", "holder_id": lease["holder_id"], "fence": fence}
        )
        db.execute(
            "update public.llm_models set is_default = true, default_by = %s where id = %s",
            [before["default_by"], before["id"]],
        )
        db.execute("delete from public.llm_models where provider = %s", [name])
