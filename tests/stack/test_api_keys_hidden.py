"""The secret of an API key and its hash: readable nowhere, for no role, and in no log."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.stack.conftest import Models
from tests.stack.keys import digest_of, new_key
from tests.stack.people import Person, Stack, new_admin
from tests.stack.turns import Database

_SCHEMAS = "n.nspname in ('public', 'private', 'auth', 'storage', 'extensions', 'graphql_public')"


def _traces(key: dict[str, Any]) -> set[str]:
    """Texts that would disclose the key, in lower case."""
    raw = bytes.fromhex(digest_of(key))
    return {each.lower() for each in (key["key"][3:], digest_of(key), base64.b64encode(raw).decode(), str(list(raw)))}


def _claims_of(person: Person, **more: Any) -> str:
    return json.dumps({"role": "authenticated", "sub": person.id} | more)


def test_no_role_reads_a_hash(alice: Person, bob: Person, stack: Stack, db: Database) -> None:
    """Every relation and function, as the owner, another user, an admin, anon, the service and the ledger's role."""
    key = new_key(alice)
    relations = db.execute(
        "select format('%I.%I', n.nspname, c.relname) as name from pg_class as c "
        "join pg_namespace as n on n.oid = c.relnamespace "
        f"where c.relkind in ('r', 'p', 'v', 'm', 'f') and {_SCHEMAS}"
    ).fetchall()
    functions = db.execute(
        "select p.oid, format('select to_jsonb(f) from %%I.%%I(%%s) as f', n.nspname, p.proname, coalesce((select "
        "  string_agg(case when t.type = 'uuid'::regtype then quote_literal(%s) when t.type = 'text'::regtype "
        "    then quote_literal(%s) else 'null' end || '::' || format_type(t.type, null), ', ' order by t.place) "
        "  from unnest(p.proargtypes) with ordinality as t (type, place)), '')) as text "
        "from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace "
        "where n.nspname in ('public', 'private') and p.prokind = 'f' "
        "and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype, 'void'::regtype)",
        [key["id"], digest_of(key)],
    ).fetchall()
    roles = {
        "owner": ("authenticated", _claims_of(alice)),
        "other": ("authenticated", _claims_of(bob)),
        "admin": ("authenticated", _claims_of(bob, app_metadata={"role": "admin"})),
        "anon": ("anon", '{"role": "anon"}'),
        "service": ("service_role", '{"role": "service_role"}'),
        "ledger": ("parley_ledger", "{}"),
    }
    read = 0
    with psycopg.connect(stack["DATABASE_URL"]) as connection:
        for who, (role, claims) in roles.items():
            for text in [f"select to_jsonb(t) from {each['name']} as t" for each in relations] + [
                each["text"] for each in functions
            ]:
                found = _read_as(connection, role, claims, text)
                read += found is not None
                traces = [trace for trace in _traces(key) if trace in (found or "")]
                if traces == [digest_of(key)] and digest_of(key) in text:  # some functions return their argument
                    echo = "0" * 64
                    other = _read_as(connection, role, claims, text.replace(digest_of(key), echo))
                    traces = [] if echo in (other or "") else traces
                assert not traces, (who, text)
    assert read > 100


def _read_as(connection: psycopg.Connection[Any], role: str, claims: str, text: str) -> str | None:
    """All rows as lower-case text; None when the role may not read them or the arguments are refused."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            connection.execute("set local statement_timeout = '5s'")
            connection.execute(f"set local role {role}".encode())
            connection.execute("select private.pre_request()")
            return json.dumps([row[0] for row in connection.execute(text.encode()).fetchall()], default=str).lower()
    except psycopg.Error:
        return None


def test_no_response_of_diagnostics_or_models_has_a_trace(alice: Person, stack: Stack) -> None:
    """`/debug`, the models and OpenAPI, for an admin and for the key itself."""
    key = new_key(alice)
    admin, own = new_admin(stack).headers, {"Authorization": f"Bearer {key['key']}"}
    for path in ("/debug", "/v1/models", "/", "/openapi.json"):
        for headers in (admin, own):
            text = httpx.get(stack["LLMS_URL"] + path, headers=headers, timeout=20).text.lower()
            assert not [trace for trace in _traces(key) if trace in text], path


@pytest.mark.parametrize("is_direct", [False, True])
def test_no_log_line_and_no_row_has_a_trace(
    alice: Person,
    model: Models,
    function: Callable[..., Any],
    stack: Stack,
    db: Database,
    tmp_path: Path,
    is_direct: bool,
) -> None:
    """A turn, a failed turn, a wrong key, and a question that contains the key: its redacted text says `[key]`."""
    key = new_key(alice)
    url, _ = function("chat", LEDGER_DATABASE_URL=stack["LEDGER_DATABASE_URL"] if is_direct else "")
    for secret in (key["key"], key["key"][:-1] + "g", key["key"][:-1]):
        for body in ({"message": f"my key is {key['key']}", "model": model("echo")}, {"message": 1}):
            headers = {"Authorization": f"Bearer {secret}"}
            httpx.post(url, json=body | {"stream": False}, headers=headers, timeout=30)
    rows = db.execute("select to_jsonb(l)::text as text from public.chat_logs as l where user_id = %s", [alice.id])
    texts = [row["text"] for row in rows.fetchall()]
    assert len(texts) == 1
    assert "[key]" in texts[0]
    logged = "".join(path.read_text() for path in tmp_path.glob("chat-*.log"))
    assert "/" in logged
    assert not [trace for trace in _traces(key) for text in (*texts, logged) if trace in text.lower()]
