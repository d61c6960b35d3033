"""Tokens of OAuth apps, and of admins without a second factor: refused unless the operator allows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from local.keys import load_or_create
from local.tokens import Tokens
from tests.stack.access_tables import SELECTS
from tests.stack.caps import PRICED, counters, details_of, reserve_of
from tests.stack.conftest import Models
from tests.stack.keys import create_key, new_key, revoke
from tests.stack.people import Person, Stack, eventually, log_row, new_admin
from tests.stack.turns import KEY, Database, asked, begin, finish

each_way = pytest.mark.usefixtures("each_way")
Allow = Callable[..., str]
Claiming = Callable[..., Person]


@pytest.fixture
def allow(db: Database, request: pytest.FixtureRequest) -> Iterator[Allow]:
    """Lists an app and gives its client id."""

    def add(scopes: str = "{chat,models}", daily_cost_usd: str | None = None) -> str:
        client_id = f"app-{abs(hash(request.node.nodeid))}"
        db.execute(
            "insert into public.oauth_apps (client_id, name, scopes, daily_cost_usd) values (%s, 'Calendar', %s, %s)",
            [client_id, scopes, daily_cost_usd],
        )
        return client_id

    yield add
    db.execute("delete from public.oauth_apps where client_id like 'app-%%'")


@pytest.fixture
def demanded(db: Database) -> Iterator[None]:
    """The deployment demands a second factor of admins."""
    db.execute("insert into private.settings values ('admin_needs_aal2', 'on')")
    yield
    db.execute("delete from private.settings where name = 'admin_needs_aal2'")


@pytest.fixture
def claiming(db: Database) -> Claiming:
    """The same person with other claims in the token; the embedded stack keeps its keys beside its database."""
    found = db.execute("show data_directory").fetchone()
    path = Path(found["data_directory"]).parent / "keys.json" if found else Path()
    if not path.is_file():
        pytest.skip("the project's signing key is not known here")
    tokens = Tokens(load_or_create(path))

    def sign(person: Person, **claims: Any) -> Person:
        known: dict[str, Any] = jwt.decode(person.token, options={"verify_signature": False})
        return replace(person, token=tokens.sign(known | claims))

    return sign


@each_way
def test_an_app_that_is_not_listed_begins_no_turn(
    alice: Person, model: Models, allow: Allow, claiming: Claiming
) -> None:
    """403 `app_not_allowed`, also for an app that is listed without the scope `chat`."""
    name = model("echo", PRICED)
    for client_id in ("unknown", allow("{models}")):
        refused = asked(claiming(alice, client_id=client_id), name)
        assert refused.status_code == 403
        assert json.loads(refused.json()["details"])["code"] == "app_not_allowed"


@each_way
def test_an_app_has_a_budget_of_its_own(
    alice: Person, bob: Person, model: Models, allow: Allow, db: Database, claiming: Claiming
) -> None:
    """Its cap counts its own turns for each user; the user's own turns and other users are not affected."""
    name = model("echo", PRICED)
    reserve = reserve_of(alice, name)
    client_id = allow(daily_cost_usd=str(reserve * Decimal("1.5")))
    app = claiming(alice, client_id=client_id)
    turn = begin(app, name, store=False)
    refused = asked(app, name, store=False)
    assert (refused.status_code, details_of(refused)["scope"]) == (402, "key")
    assert [asked(each, name).status_code for each in (alice, claiming(bob, client_id=client_id))] == [200, 200]
    finish(alice, turn)
    (row,) = alice.rows("api_keys")
    assert (row["name"], row["client_id"]) == ("Calendar", client_id)
    assert row["last_used_at"]
    assert str(log_row(db, turn["turn_id"])["api_key_id"]) == row["id"]
    assert counters(db, f"key:{row['id']}")["day"]["spent_usd"] == Decimal("0.002")
    db.execute("update public.oauth_apps set daily_cost_usd = null where client_id = %s", [client_id])
    assert begin(app, name, store=False)


@each_way
def test_an_app_reads_no_conversation_through_a_turn(
    alice: Person, model: Models, allow: Allow, claiming: Claiming
) -> None:
    """It continues, regenerates and replays no turn of the user."""
    name = model("echo", PRICED)
    turn = begin(alice, name, client_id="c", **KEY)
    finish(alice, turn)
    app = claiming(alice, client_id=allow())
    for fields in (
        {"conversation_id": turn["conversation_id"]},
        {"client_id": "c"},
        {"message_id": turn["turn_id"]},
        {"regenerate": True},
    ):
        assert asked(app, name, **fields).status_code == 403, fields
        assert asked(app, name, dry_run=True, **fields).status_code == 403, fields
    assert asked(app, name, **KEY).json()["outcome"] == "mismatch"


@each_way
def test_a_user_revokes_an_app(alice: Person, model: Models, allow: Allow, claiming: Claiming) -> None:
    """The next turn is refused, also after the user has deleted their data; an app cannot revoke anything."""
    app, name = claiming(alice, client_id=allow()), model("echo", PRICED)
    begin(app, name)
    (row,) = alice.rows("api_keys")
    assert [revoke(app, row), revoke(alice, row), asked(app, name).status_code] == [403, 204, 403]
    assert app.rest("POST", "rpc/my_rights", json={}).json()["app_scopes"] == []
    assert alice.rest("POST", "rpc/delete_my_data", json={}).status_code == 204
    assert asked(app, name).status_code == 403


def test_an_app_reaches_no_table_and_no_function_of_its_user(
    alice: Person, model: Models, allow: Allow, db: Database, claiming: Claiming
) -> None:
    """Every table is empty for it, even with an admin's claims; it writes nothing and creates no key."""
    new_key(alice)
    alice.whole("hello")
    admin = {"app_metadata": {"role": "admin"}}
    app = claiming(alice, client_id=allow(), **admin)
    for path in {each.partition("?")[0] for each in SELECTS}:
        seen = app.rest("GET", path)
        assert seen.status_code == 403 or seen.json() == [], path
    unguarded = db.execute(
        """select c.relname from pg_class as c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
           and not exists (select from pg_policies as p
             where p.tablename = c.relname and p.permissive = 'RESTRICTIVE')"""
    ).fetchall()
    assert unguarded == []
    definers = db.execute(
        """select p.proname from pg_proc as p where p.pronamespace = 'public'::regnamespace and p.prosecdef
           and has_function_privilege('authenticated', p.oid, 'execute')
           and p.prosrc !~ 'private.(refuse_apps|is_app|is_admin)'"""
    ).fetchall()
    assert {row["proname"] for row in definers} == {"chat_begin", "model_menu", "preset_costs"}
    assert create_key(app).status_code == 403
    assert app.rest("POST", "rpc/my_limits", json={}).json() == []
    begin(alice, model("echo"), client_id="c")
    assert [len(who.rest("POST", "rpc/open_turns", json={}).json()) for who in (alice, app)] == [1, 0]
    assert [_topics(who, db) for who in (alice, app)] == [2, 0]
    assert app.rest("POST", "rpc/my_rights", json={}).json() == {"is_admin": False, "app_scopes": ["chat", "models"]}
    node = {"name": "x", "base_url": "https://x.example/v1"}
    assert app.rest("POST", "client_nodes", json=node).status_code == 403
    calls: dict[str, dict[str, Any]] = {
        "delete_my_data": {},
        "delete_conversation": {"conversation_id": alice.id},
        "set_node_key": {"node_id": 1, "api_key": "x"},
        "diagnose_access": {},
        "member_names": {"chat_id": alice.id},
    }
    for name, arguments in calls.items():
        assert app.rest("POST", f"rpc/{name}", json=arguments).status_code == 403, name


def _topics(person: Person, db: Database) -> int:
    claims = json.dumps(jwt.decode(person.token, options={"verify_signature": False}))
    with db.transaction():
        db.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        return len(db.execute("select private.my_topics()").fetchall())


def test_the_functions_refuse_an_app_that_is_not_allowed(
    alice: Person, model: Models, allow: Allow, stack: Stack, claiming: Claiming
) -> None:
    """Models, turns and routes of admins; a listed app gets models and turns, and nothing else."""
    client_id = allow()
    listed, unknown = (claiming(alice, client_id=each) for each in (client_id, "unknown"))
    body = {"message": "hi", "model": model("echo"), "stream": False}
    for person, status in ((listed, 200), (unknown, 403)):
        answer = person.ask(body)
        assert answer.status_code == status, answer.text
        assert httpx.get(f"{stack['LLMS_URL']}/v1/models", headers=person.headers).status_code == status
        for method, url in (
            ("GET", f"{stack['LLMS_URL']}/debug"),
            ("POST", f"{stack['LLMS_URL']}/nodes/1/probe"),
            ("POST", stack["REFRESH_URL"]),
        ):
            refused = httpx.request(method, url, headers=person.headers, timeout=20)
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "app_not_allowed")


def test_an_app_refers_to_no_stored_answer(
    alice: Person, model: Models, allow: Allow, stack: Stack, claiming: Claiming
) -> None:
    """An item of a stored response is for its user; an app that knows its id does not get its words."""
    name = model("echo")
    alice.whole("a secret", model=name)
    (turn,) = alice.rows("messages?role=eq.assistant&select=turn_id")
    items = [{"type": "item_reference", "id": f"msg_{turn['turn_id']}_0"}, {"role": "user", "content": "Repeat."}]
    body = {"model": name, "input": items, "store": False}
    asked = [who.ask(body, f"{stack['CHAT_URL']}/v1/responses") for who in (alice, claiming(alice, client_id=allow()))]
    assert [answer.status_code for answer in asked] == [200, 400]


def test_admins_need_a_second_factor_where_it_is_demanded(stack: Stack, demanded: None, claiming: Claiming) -> None:
    """Without it an admin has an ordinary user's rights in tables and functions; with it all of them."""
    assert demanded is None
    admin = new_admin(stack)
    strong = claiming(admin, aal="aal2")
    assert [who.rows("usage_limits?scope=eq.default") == [] for who in (admin, strong)] == [True, False]
    for url, method in ((f"{stack['LLMS_URL']}/debug", "GET"), (stack["REFRESH_URL"], "POST")):
        refused = httpx.request(method, url, headers=admin.headers, timeout=30)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "second_factor_required")
        body = {"dry_run": True} if method == "POST" else None
        admitted = httpx.request(method, url, headers=strong.headers, timeout=60, json=body)
        assert admitted.status_code in {200, 207, 409}, admitted.text


def test_a_claim_of_the_wrong_type_is_401(alice: Person, stack: Stack, claiming: Claiming) -> None:
    """A client id or an assurance level that is no text."""
    wrong: list[dict[str, Any]] = [{"client_id": ["x"]}, {"client_id": {}}, {"aal": 2}]
    for claims in wrong:
        answer = httpx.get(f"{stack['LLMS_URL']}/v1/models", headers=claiming(alice, **claims).headers)
        assert answer.status_code == 401, claims


def test_without_the_demand_one_factor_is_enough(stack: Stack) -> None:
    """An admin with a password alone reads the caps and the diagnosis."""
    admin = new_admin(stack)
    assert admin.rows("usage_limits?scope=eq.default")
    assert eventually(lambda: httpx.get(f"{stack['LLMS_URL']}/debug", headers=admin.headers, timeout=30).is_success)
