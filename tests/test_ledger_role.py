"""The role of chat's own connection: what it may do in the database, on every version that Supabase runs."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from local import baseline, migrations
from tests.postgres_servers import PostgresServer

pytestmark = pytest.mark.processes

_MEANT = {
    "public.api_key_person(text)",
    "public.chat_begin(jsonb)",
    "public.chat_begin_with_key(text,jsonb)",
    "public.chat_extend(jsonb)",
    "public.chat_finish(jsonb)",
    "public.follow_turn(jsonb)",
    "public.follow_turn_with_key(text,jsonb)",
    "public.keep_piece(jsonb)",
    "public.model_menu(jsonb)",
    "public.node_key(bigint,text)",
    "public.find_insights(jsonb,jsonb)",
    "public.renew_insight_lease(jsonb)",
    "public.release_insight_lease(jsonb)",
    "public.finish_insight(jsonb,jsonb)",
    "public.preset_costs(jsonb)",
    "public.read_for_client(jsonb,text,jsonb)",
    "public.stop_turn(text)",
    "public.stop_turn_with_key(text,text)",
    "public.stored_answers(jsonb)",
}
_FOREIGN = "n.nspname <> 'information_schema' and n.nspname !~ '^pg_'"
_STATEMENTS = {
    "S": ("select nextval('{0}')", "select setval('{0}', 1)", "select * from {0}"),
    "v": ("select * from {0}", "insert into {0} default values", "delete from {0}"),
    "other": (
        "select * from {0}",
        "insert into {0} default values",
        "delete from {0}",
        "truncate {0}",
        "copy {0} to stdout",
    ),
}
_BEGIN = """with claims as materialized (select set_config('request.jwt.claims', %s, true) as claims)
            select public.chat_begin(%s) from claims where claims is not null"""

Rows = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def owner(postgres_servers: PostgresServer) -> Iterator[Rows]:
    """A migrated database as its owner, who is no superuser and lets the role log in as the documents say."""
    dsn = postgres_servers.prepare_database("ledger_role")
    migrations.apply(dsn, baseline.MIGRATIONS)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("alter role parley_ledger login password 'a long password'")
        yield connection


@pytest.fixture
def role(owner: Rows, postgres_servers: PostgresServer) -> Iterator[Rows]:
    """The same database as chat sees it."""
    assert owner.info.dbname == "ledger_role"
    with psycopg.connect(postgres_servers.dsn("ledger_role", "parley_ledger"), autocommit=True) as connection:
        yield connection


def test_the_role_may_call_seven_functions_and_nothing_else(owner: Rows, role: Rows) -> None:
    """Every table, view and sequence refuses every verb, and every other function of ours refuses a call."""
    allowed = []
    relations = owner.execute(
        "select format('%I.%I', n.nspname, c.relname), c.relkind from pg_class as c "
        f"join pg_namespace as n on n.oid = c.relnamespace where c.relkind in ('r','p','v','m','f','S') and {_FOREIGN}"
    ).fetchall()
    assert {kind for _, kind in relations} >= {"r", "S"}
    for name, kind in relations:
        statements = _STATEMENTS.get(kind, _STATEMENTS["other"])
        allowed += [text for each in statements if not _is_refused(role, text := each.format(name))]
    owner.execute("set search_path = ''")
    functions = owner.execute(
        "select p.oid::regprocedure::text, format('select %%I.%%I(%%s)', n.nspname, p.proname, (select string_agg("
        "  'null::' || format_type(t.oid, null), ', ' order by t.place) "
        "  from unnest(p.proargtypes) with ordinality as t (oid, place))) "
        f"from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace where {_FOREIGN} and p.prokind = 'f' "
        "and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype) and n.nspname in ('public', 'private')",
        [],
    ).fetchall()
    assert len(functions) > 80
    callable_ones = {name for name, text in functions if not _is_refused(role, text)}
    assert (allowed, callable_ones) == ([], _MEANT)


def test_the_role_creates_no_object_and_takes_no_other_role(role: Rows) -> None:
    """It creates no object, changes no setting of others, and takes on no other role."""
    attempts = (
        "create table public.mine ()",
        "create schema mine",
        "create function public.mine() returns void language sql as ''",
        "create role mine",
        "set role authenticated",
        "set role service_role",
        "set role postgres",
        "set session authorization postgres",
        "alter role postgres password 'x'",
        "select pg_read_file('postgresql.conf')",
        "copy (select 1) to '/tmp/mine'",
        "alter system set log_statement = 'all'",
    )
    assert [text for text in attempts if not _is_refused(role, text)] == []


def test_a_turn_begins_for_a_signed_in_user_only(owner: Rows, role: Rows) -> None:
    """Claims of no user, of a deleted one, of the service, or expired ones are `invalid_token`; no claims are, too."""
    user = str(uuid.uuid4())
    owner.execute("insert into auth.users (id, email) values (%s, 'ada@example.com')", [user])
    owner.execute("update public.llm_models set is_active = true where id = (select min(id) from public.llm_models)")
    turn = json.dumps({"turn_id": str(uuid.uuid4()), "worker_id": str(uuid.uuid4()), "endpoint": "c", "message": "hi"})
    good = {"sub": user, "role": "authenticated", "exp": int(time.time()) + 60}
    bad: list[dict[str, Any]] = [
        {},
        {"role": "authenticated"},
        {"role": "service_role"},
        good | {"sub": str(uuid.uuid4())},
        good | {"role": "service_role"},
        good | {"role": "anon"},
        good | {"exp": int(time.time()) - 60},
    ]
    for claims in bad:
        with pytest.raises(psycopg.Error) as caught:
            role.execute(_BEGIN, [json.dumps(claims), turn])
        assert caught.value.sqlstate == "PT401", claims
    with pytest.raises(psycopg.Error, match="does not exist"):
        role.execute("select public.chat_begin(%s)", [turn])
    assert owner.execute("select count(*) from private.turns where user_id = %s", [user]).fetchone() == (0,)
    begun = role.execute(_BEGIN, [json.dumps(good), turn]).fetchone()
    assert begun is not None
    assert begun[0]["outcome"] == "new"
    again = role.execute("select current_setting('request.jwt.claims', true)").fetchone()
    assert again in {("",), (None,)}  # the claims ended with their transaction


def test_the_diagnosis_names_what_the_role_may_do(owner: Rows, postgres_servers: PostgresServer) -> None:
    """An admin reads that the role may log in and call those functions; a right that does not belong is listed."""
    found = _diagnosed(owner)
    assert (found["has_login"], found["is_admin"], found["member_of"]) == (True, False, [])
    assert set(found["may_use"]) == _MEANT
    with owner.transaction(force_rollback=True):
        owner.execute("grant select (id) on public.chat_logs to parley_ledger")
        assert "public.chat_logs" in _diagnosed(owner)["may_use"]
    with pytest.raises(psycopg.Error, match="for admins"):
        owner.execute("select public.diagnose_ledger_role()")
    assert postgres_servers.version in {15, 17, 18}


def _diagnosed(owner: Rows) -> dict[str, Any]:
    with owner.transaction():
        claims = '{"role": "authenticated", "app_metadata": {"role": "admin"}}'
        owner.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        owner.execute("set local role authenticated")
        owner.execute("select private.pre_request()")
        row = owner.execute("select public.diagnose_ledger_role()").fetchone()
    assert row is not None
    found: dict[str, Any] = row[0]
    return found


def _is_refused(role: Rows, text: str) -> bool:
    """Whether the statement fails for want of a right; any other outcome means that the role may run it."""
    try:
        role.execute(text.encode())
    except psycopg.errors.InsufficientPrivilege:
        return True
    except psycopg.Error:
        return False
    return False
