"""Who may do what: every table and function, for anon, two users, an admin and the service, through the data API."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, new_admin, service, sign_up
from tests.stack.turns import Database

# What anon, another user, an admin and the service get: 200 = rows, 0 = 200 without any, else the refusal.
SELECTS = {
    "client_nodes?id=eq.{node}": (401, 0, 200, 200),
    "llm_models?limit=1": (401, 200, 200, 200),
    "llm_models?is_active=is.false&limit=1": (401, 0, 200, 200),
    "llm_routes?alias=eq.{alias}": (401, 200, 200, 200),
    "llm_conversations?id=eq.{conversation}": (401, 0, 200, 200),
    "conversation_members?conversation_id=eq.{conversation}": (401, 0, 200, 200),
    "messages?conversation_id=eq.{conversation}": (401, 0, 200, 200),
    "chat_logs?turn_id=eq.{turn}": (401, 0, 200, 200),
    "usage_limits?scope=eq.default": (401, 0, 200, 200),
    "usage_counters?scope=eq.{owner}": (401, 0, 200, 200),
    "usage_counters?scope=eq.global": (401, 0, 200, 200),
    "usage_daily?user_id=eq.{owner}": (401, 0, 200, 200),
    "cost_alerts?scope=eq.{owner}": (401, 0, 200, 200),
    "provider_health?provider_key=eq.tenancy": (401, 0, 200, 200),
    "refresh_runs?trigger=eq.tenancy": (401, 0, 200, 200),
    "user_llm_profiles?user_id=eq.{friend}": (401, 0, 0, 403),
    "feedback?turn_id=eq.{turn}": (401, 0, 200, 200),
    "model_quality?model_identifier=eq.tenancy": (401, 200, 200, 200),
}
# A forged row for each table, refused to everyone in the order anon, the owner, another user, an admin, the service;
# 0 = allowed.
INSERTS = {
    "client_nodes": (
        {"name": "x", "base_url": "https://x.example/v1", "owner_id": "{owner}", "may_use_tools": True},
        (401, 0, 403, 403, 403),
    ),
    "llm_models": (
        {"model_key": "{fresh}", "model_name": "x", "provider": "x", "upstream_id": "{fresh}"},
        (401, 403, 403, 0, 0),
    ),
    "llm_routes": ({"alias": "forged", "model_key": "gpt-4o"}, (401, 403, 403, 0, 403)),
    "llm_conversations": ({"user_id": "{owner}"}, (401, 403, 403, 403, 403)),
    "conversation_members": ({"conversation_id": "{conversation}", "user_id": "{friend}"}, (401, 0, 403, 403, 403)),
    "messages": ({"conversation_id": "{conversation}", "content": "x", "user_id": "{owner}"}, (401, 0, 403, 403, 403)),
    "chat_logs": ({"turn_id": "{fresh}", "endpoint": "x", "status": "completed"}, (401, 403, 403, 403, 403)),
    "usage_limits": ({"scope": "{fresh}", "daily_requests": 1}, (401, 403, 403, 0, 0)),
    "usage_counters": ({"scope": "x", "period": "day", "period_start": "2026-01-01"}, (401, 403, 403, 403, 403)),
    "usage_daily": ({"day": "2026-01-01", "cost_usd": 1}, (401, 403, 403, 403, 403)),
    "cost_alerts": (
        {"scope": "x", "period": "day", "period_start": "2026-01-01", "threshold": "x", "amount": 1, "cap": 1},
        (401, 403, 403, 403, 403),
    ),
    "provider_health": ({"provider_key": "x"}, (401, 403, 403, 403, 403)),
    "refresh_runs": ({"trigger": "tenancy"}, (401, 403, 403, 403, 0)),
    "user_llm_profiles": ({"user_id": "{owner}", "skill_level": "expert"}, (401, 0, 403, 403, 403)),
    "feedback": ({"turn_id": "{fresh}", "user_id": "{owner}", "rating": 5}, (401, 403, 403, 403, 403)),
    "model_quality": ({"model_identifier": "x", "turns": 1, "errors": 0, "ratings": 0}, (401, 403, 403, 403, 403)),
}
CALLS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "chat_begin": ({"turn": {"dry_run": True, "message": "x"}}, (401, 200, 200, 403)),
    "my_limits": ({}, (401, 200, 200, 403)),
    "chat_finish": ({"entry": {"turn_id": "{fresh}"}}, (401, 403, 403, 200)),
    "open_turns": ({}, (401, 403, 403, 200)),
    "raise_cost_alerts": ({}, (401, 403, 403, 200)),
    "claim_cost_alerts": ({"max_rows": 0}, (401, 403, 403, 200)),
    "settle_cost_alerts": ({}, (401, 403, 403, 200)),
    "thin_turns": ({}, (401, 403, 403, 200)),
    "purge_logs": ({"retention_days": 36500}, (401, 403, 403, 200)),
    "take_lease": ({"job": "tenancy", "holder_id": "{fresh}", "ttl_seconds": 1}, (401, 403, 403, 200)),
    "set_node_key": ({"node_id": "{node}", "api_key": "sk-forged"}, (401, 404, 404, 403)),
    "quarantine_spooled": ({"object_key": "tenancy", "reason": "refused"}, (401, 403, 403, 204)),
    "node_key": ({"node_id": "{node}", "base_url": "x"}, (401, 403, 403, 200)),
    "store_node_models": ({"node_id": "{node}", "models": []}, (401, 403, 403, 200)),
    "model_menu": ({}, (401, 200, 200, 200)),
    "diagnose_catalogue": ({}, (401, 200, 200, 403)),
    "diagnose_access": ({}, (401, 403, 200, 403)),
    "diagnose_visibility": ({}, (401, 403, 200, 403)),
    "delete_conversation": ({"conversation_id": "{fresh}"}, (401, 404, 404, 403)),
    "merge_models": ({"merge": {"provider": "x", "listed": [], "fence": 0}}, (401, 403, 403, 409)),
    "extend_lease": (
        {"job": "tenancy", "holder_id": "{fresh}", "fence": 0, "ttl_seconds": 1},
        (401, 403, 403, 200),
    ),
    "roll_up_profiles": ({}, (401, 403, 403, 200)),
    "measure_models": ({}, (401, 403, 403, 200)),
    "lookup_failures": ({}, (401, 200, 200, 200)),
    "ab_results": ({"alias": "tenancy"}, (401, 200, 200, 200)),
    "wilson_interval": ({"hits": 1, "n": 2}, (401, 200, 200, 200)),
    "release_lease": ({"job": "tenancy", "holder_id": "{fresh}", "fence": 0}, (401, 403, 403, 200)),
}
UPDATES = {
    "llm_conversations?id=eq.{conversation}": {"title": "mine now"},
    "client_nodes?id=eq.{node}": {"base_url": "https://evil.example/v1"},
    "client_nodes?id=eq.{node}&may_use_tools=is.false": {"may_use_tools": True},
    "conversation_members?conversation_id=eq.{conversation}": {"role": "owner"},
    "messages?conversation_id=eq.{conversation}": {"content": "never said"},
    "chat_logs?turn_id=eq.{turn}": {"cost_usd": 0},
    "usage_limits?scope=eq.default": {"daily_requests": 1000000},
    "usage_counters?scope=eq.{owner}": {"spent_usd": 0},
    "usage_daily?user_id=eq.{owner}": {"cost_usd": 0},
    "cost_alerts?scope=eq.{owner}": {"notified_at": None},
    "llm_models?model_key=eq.gpt-4o": {"pricing": None},
    "llm_routes?alias=eq.{alias}": {"weight": 0},
    "provider_health?provider_key=eq.tenancy": {"open_until": None},
    "refresh_runs?trigger=eq.tenancy": {"status": "failed"},
    "user_llm_profiles?user_id=eq.{friend}": {"skill_level": "beginner"},
    "feedback?turn_id=eq.{turn}": {"rating": 1},
    "model_quality?model_identifier=eq.tenancy": {"errors": 1},
}
_UNTOUCHABLE = (
    "chat_logs",
    "usage_counters",
    "usage_daily",
    "cost_alerts",
    "messages",
    "provider_health",
    "refresh_runs",
    "conversation_members",
)


class Cast:
    """The people of this module and what belongs to the first of them."""

    def __init__(self, stack: Stack, db: Database, identifier: str) -> None:
        self.stack = stack
        self.owner, self.stranger, self.admin = sign_up(stack), sign_up(stack), new_admin(stack)
        friend = sign_up(stack)  # whom the owner adds: the stranger must stay one
        assert friend.rest("POST", "user_llm_profiles", json={"skill_level": "expert"}).status_code == 201
        answer = self.owner.whole("hello", model=identifier)
        node = self.owner.rest(
            "POST",
            "client_nodes",
            json={"name": "mine", "base_url": "https://node.example/v1"},
            headers={"Prefer": "return=representation"},
        ).json()[0]
        alias = f"a{uuid.uuid4().hex[:12]}"
        db.execute("insert into public.llm_routes (alias, model_key) values (%s, 'gpt-4o')", [alias])
        db.execute("insert into public.provider_health (provider_key) values ('tenancy') on conflict do nothing")
        db.execute(
            """insert into public.cost_alerts (scope, period, period_start, threshold, amount, cap)
               values (%s, 'day', '2026-01-01', 'cost 50%%', 1, 2)""",
            [self.owner.id],
        )
        db.execute(
            "insert into public.model_quality (model_identifier, turns, errors, ratings) values ('tenancy', 1, 0, 0) "
            "on conflict do nothing"
        )
        verdict = {"turn_id": answer["id"], "rating": 5}
        assert self.owner.rest("POST", "feedback", json=verdict).status_code == 201
        self.names = {
            "owner": self.owner.id,
            "stranger": self.stranger.id,
            "friend": friend.id,
            "conversation": answer["conversation_id"],
            "turn": answer["id"],
            "node": str(node["id"]),
            "alias": alias,
        }

    @property
    def outsiders(self) -> list[Person | str]:
        """anon, another user, an admin, the service."""
        return ["anon", self.stranger, self.admin, "service"]

    @property
    def everyone(self) -> list[Person | str]:
        """The same with the owner."""
        return ["anon", self.owner, self.stranger, self.admin, "service"]

    def filled(self, value: Any) -> Any:
        """A template with this cast's names; `{fresh}` is a new id each time."""
        if isinstance(value, str):
            return value.format(**self.names, fresh=str(uuid.uuid4()))
        if isinstance(value, dict):
            return {name: self.filled(each) for name, each in value.items()}
        return value

    def ask(self, who: Person | str, method: str, path: str, **options: Any) -> httpx.Response:
        """A request as a user, as `anon` or as the `service`."""
        if isinstance(who, Person):
            return who.rest(method, path, **options)
        if who == "service":
            return service(self.stack, method, path, **options)
        headers = {"apikey": self.stack["SUPABASE_ANON_KEY"]}
        return httpx.request(method, f"{self.stack['SUPABASE_URL']}/rest/v1/{path}", headers=headers, **options)


@pytest.fixture(scope="module")
def cast(stack: Stack, db: Database) -> Iterator[Cast]:
    """Set once; the tests of this module only ever add rows."""
    demo = "client:1:smollm2-135m-instruct"
    made = Cast(stack, db, demo)
    yield made
    db.execute("delete from public.llm_routes where alias in (%s, 'forged')", [made.names["alias"]])
    db.execute("delete from public.provider_health where provider_key = 'tenancy'")
    db.execute("delete from public.llm_models where provider = 'x'")
    db.execute("delete from public.refresh_runs where trigger = 'tenancy'")
    db.execute("delete from public.cost_alerts where scope = %s", [made.names["owner"]])


@pytest.mark.parametrize("path", SELECTS)
def test_rows_are_seen_by_those_they_concern(cast: Cast, db: Database, path: str) -> None:
    """Anon is 401, another user sees no row, an admin and the service see it."""
    db.execute("insert into public.refresh_runs (trigger) values ('tenancy')")
    for who, wanted in zip(cast.outsiders, SELECTS[path], strict=True):
        answer = cast.ask(who, "GET", cast.filled(path))
        seen = answer.status_code if answer.status_code != 200 or answer.json() else 0
        assert seen == wanted, (who, answer.text)


@pytest.mark.parametrize("table", INSERTS)
def test_no_user_writes_rows_of_another(cast: Cast, table: str) -> None:
    """Rows are made by those whose they are; logs, counters and conversations by the ledger alone."""
    row, wanted = INSERTS[table]
    for who, status in zip(cast.everyone, wanted, strict=True):
        answer = cast.ask(who, "POST", table, json=cast.filled(row))
        assert answer.status_code == (status or 201), (who, answer.text)


@pytest.mark.parametrize("path", UPDATES)
def test_a_stranger_changes_nothing(cast: Cast, path: str) -> None:
    """An update by a stranger is refused or touches no row, and so does a deletion."""
    for method, body in (("PATCH", UPDATES[path]), ("DELETE", None)):
        options = {"json": body} if body else {}
        answer = cast.stranger.rest(method, cast.filled(path), headers={"Prefer": "return=representation"}, **options)
        assert answer.status_code == 403 or answer.json() == [], answer.text
        assert cast.ask("anon", method, cast.filled(path), **options).status_code == 401


@pytest.mark.parametrize("table", _UNTOUCHABLE)
def test_not_even_an_admin_or_the_service_rewrites_history(cast: Cast, table: str) -> None:
    """Ledgers and texts cannot be updated by an admin nor deleted by the service."""
    path = cast.filled(next(each for each in UPDATES if each.startswith(table)))
    changed = cast.admin.rest("PATCH", path, json=UPDATES[next(each for each in UPDATES if each.startswith(table))])
    assert changed.status_code == 403, changed.text
    assert service(cast.stack, "DELETE", path).status_code == 403


def test_the_service_changes_caps_and_deletes_none(cast: Cast) -> None:
    """A null removes a cap; rows stay."""
    path = cast.filled("usage_limits?scope=eq.{stranger}")
    row = {"scope": cast.names["stranger"], "daily_requests": 5}
    assert service(cast.stack, "POST", "usage_limits", json=row).status_code == 201
    assert service(cast.stack, "PATCH", path, json={"daily_requests": None}).status_code == 204
    assert service(cast.stack, "GET", path).json()[0]["daily_requests"] is None
    assert service(cast.stack, "DELETE", path).status_code == 403


@pytest.mark.parametrize("name", CALLS)
def test_functions_are_called_by_those_they_are_for(cast: Cast, name: str) -> None:
    """No function of ours is open to anon; settling is the service's, admission a user's."""
    arguments, wanted = CALLS[name]
    for who, status in zip(cast.outsiders, wanted, strict=True):
        answer = cast.ask(who, "POST", f"rpc/{name}", json=cast.filled(arguments))
        assert answer.status_code == status, (who, answer.text)


@pytest.mark.parametrize(
    ("column", "value"), [("has_key", True), ("models", [{"id": "x"}]), ("last_seen_at", "now"), ("owner_id", None)]
)
def test_not_even_its_owner_writes_what_a_node_is_known_for(cast: Cast, column: str, value: Any) -> None:
    """Only set_node_key and a probe write these columns; no node changes its owner."""
    row = {"name": "x", "base_url": "https://x.example/v1", column: value}
    path = cast.filled("client_nodes?id=eq.{node}")
    for who in (cast.owner, cast.stranger, cast.admin):
        assert cast.ask(who, "PATCH", path, json={column: value}).status_code == 403
        assert column == "owner_id" or cast.ask(who, "POST", "client_nodes", json=row).status_code == 403
    assert column in {"models", "last_seen_at"} or service(cast.stack, "PATCH", path, json={column: value}).is_error


def test_no_user_joins_by_inserting_a_row(cast: Cast) -> None:
    """A stranger cannot add themselves, nor post into a conversation they are not in."""
    row = cast.filled({"conversation_id": "{conversation}", "user_id": "{stranger}"})
    other = sign_up(cast.stack)
    assert other.rest("POST", "conversation_members", json=row | {"user_id": other.id}).status_code == 403
    post = {"conversation_id": row["conversation_id"], "content": "hello"}
    assert other.rest("POST", "messages", json=post).status_code == 403


def test_a_member_takes_part_until_removed(cast: Cast, model: Models) -> None:
    """A member reads, posts and asks; once removed they are out at the next request."""
    friend, identifier = sign_up(cast.stack), model("echo")
    mine = cast.owner.whole("welcome", model=identifier)["conversation_id"]
    assert friend.ask({"message": "x", "conversation_id": mine}).status_code == 404
    member = {"conversation_id": mine, "user_id": friend.id}
    assert cast.owner.rest("POST", "conversation_members", json=member).status_code == 201
    assert len(friend.rows(f"messages?conversation_id=eq.{mine}")) == 2
    assert friend.rest("POST", "messages", json={"conversation_id": mine, "content": "hi all"}).status_code == 201
    assert friend.whole("and me", model=identifier, conversation_id=mine)["conversation_id"] == mine
    assert cast.owner.rows(f"chat_logs?conversation_id=eq.{mine}&user_id=eq.{friend.id}") == []
    assert friend.rest("PATCH", f"llm_conversations?id=eq.{mine}", json={"title": "x"}).status_code == 204
    assert cast.owner.rows(f"llm_conversations?id=eq.{mine}")[0]["title"] == "welcome"
    removal = f"conversation_members?conversation_id=eq.{mine}&user_id=eq.{friend.id}"
    assert cast.owner.rest("DELETE", removal).status_code == 204
    assert friend.rows(f"messages?conversation_id=eq.{mine}") == []
    assert friend.ask({"message": "x", "conversation_id": mine}).status_code == 404


def test_no_one_forges_the_assistants_words_or_anothers(cast: Cast) -> None:
    """A member posts as themselves and as a person only."""
    conversation = cast.names["conversation"]
    for forged in (
        {"role": "assistant"},
        {"user_id": cast.stranger.id},
        {"model_used": "x"},
        {"turn_id": str(uuid.uuid4())},
    ):
        row = {"conversation_id": conversation, "content": "x"} | forged
        assert cast.owner.rest("POST", "messages", json=row).status_code == 403


def test_only_the_owner_of_the_schema_may_truncate(db: Database) -> None:
    """No API role holds TRUNCATE, REFERENCES or TRIGGER on any table of ours."""
    held = db.execute(
        """select table_name, grantee, privilege_type from information_schema.role_table_grants
           where table_schema in ('public', 'private') and privilege_type in ('TRUNCATE', 'REFERENCES', 'TRIGGER')
             and grantee in ('anon', 'authenticated', 'service_role', 'PUBLIC')"""
    ).fetchall()
    assert held == []


def test_every_table_has_row_level_security_and_no_policy_lets_all_in(db: Database) -> None:
    """Row-level security is on everywhere, and no policy is a bare `true`."""
    open_tables = db.execute(
        """select c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
           where n.nspname in ('public', 'private') and c.relkind = 'r' and not c.relrowsecurity"""
    ).fetchall()
    lax = db.execute("select policyname from pg_policies where qual = 'true' or with_check = 'true'").fetchall()
    assert (open_tables, lax) == ([], [])


def test_no_role_may_execute_an_ungranted_definer_function(db: Database) -> None:
    """No security-definer function is executable by anon, in whatever way the right came."""
    found = db.execute(
        """select p.proname from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
           where n.nspname in ('public', 'private') and p.prosecdef
             and has_function_privilege('anon', p.oid, 'execute')"""
    ).fetchall()
    assert found == []


def test_tables_functions_policies_and_odd_columns_are_commented(db: Database) -> None:
    """Every table, function and table's first policy says what it is for."""
    silent = db.execute(
        """select c.relname as name from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
           where n.nspname in ('public', 'private') and c.relkind = 'r' and obj_description(c.oid) is null
           union all
           select p.proname from pg_proc as p where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
             and obj_description(p.oid) is null"""
    ).fetchall()
    assert silent == []
