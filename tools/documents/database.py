"""docs/api/database.md, from the comments on what a signed-in user may use: tables, columns, policies and functions."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from local import migrations, postgres
from tools.documents.markdown import code, table

ROOT = Path(__file__).resolve().parents[2]
_HEAD = """\
# Database: tables and functions for clients

Generated from the database's own comments by `make docs-database`. Edit `comment on` in the SQL.

A client uses these tables and functions with supabase-js or PostgREST and the user's access token.
Row-level security decides which rows a user sees or changes; the line under a table's name says which.
The requests of admins go on as `parley_admin`, which has policies of its own.
Tables and columns that are not listed are not accessible. The service key and the role `postgres` may do more.

"""
_TABLES = """
    select c.oid, c.relname as name, c.relkind = 'v' as is_view, obj_description(c.oid, 'pg_class') as comment,
      has_table_privilege('authenticated', c.oid, 'delete') as may_delete
    from pg_class as c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
    order by c.relname
"""
_COLUMNS = """
    select a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
      col_description(a.attrelid, a.attnum) as comment,
      has_column_privilege('authenticated', a.attrelid, a.attnum, 'select') as may_select,
      has_column_privilege('authenticated', a.attrelid, a.attnum, 'insert') as may_insert,
      has_column_privilege('authenticated', a.attrelid, a.attnum, 'update') as may_update
    from pg_attribute as a
    where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
    order by a.attname
"""
_POLICIES = """
    select polname as name, polcmd::text as verb, obj_description(oid, 'pg_policy') as comment
    from pg_policy
    where polrelid = %s and (polroles = '{0}'
      or polroles && array['authenticated'::regrole::oid, 'parley_admin'::regrole::oid])
    order by array_position(array['r', 'a', 'w', 'd', '*'], polcmd::text),
      'parley_admin'::regrole = any (polroles), polname
"""
_FUNCTIONS = """
    select p.proname as name, pg_get_function_arguments(p.oid) as arguments, pg_get_function_result(p.oid) as result,
      obj_description(p.oid, 'pg_proc') as comment
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.prorettype <> 'trigger'::regtype
      and has_function_privilege('authenticated', p.oid, 'execute')
    order by p.proname, arguments
"""
_VERBS = {"r": "select", "a": "insert", "w": "update", "d": "delete", "*": "all"}
_MAX_CODE = 118


def page(connection: psycopg.Connection[Any]) -> str:
    """The page of the database behind the connection."""
    with connection.cursor(row_factory=dict_row) as cursor:
        relations = "\n".join(_relations(cursor))
        functions = "\n".join(map(_function, cursor.execute(_FUNCTIONS).fetchall()))
    return f"{_HEAD}## Tables and views\n\n{relations}\n## Functions\n\nCall one as `rpc/<name>`.\n\n{functions}"


def page_of(url: str) -> str:
    """The page of the database at a Postgres URL."""
    with psycopg.connect(url) as connection:
        return page(connection)


def page_of_migrations() -> str:
    """The page of a new embedded database with all migrations, which is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="parley-documents-"))
    folder.chmod(0o755)
    port = _free_port()
    postgres.start(folder / "data", port)
    try:
        postgres.prepare_database(port, "documents")
        url = postgres.dsn(port, dbname="documents")
        migrations.apply(url, ROOT / "supabase" / "migrations")
        return page_of(url)
    finally:
        postgres.stop(folder / "data")
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((postgres.HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _relations(cursor: psycopg.Cursor[dict[str, Any]]) -> Iterator[str]:
    for relation in cursor.execute(_TABLES).fetchall():
        columns = [each for each in cursor.execute(_COLUMNS, [relation["oid"]]).fetchall() if _allowed(each)]
        policies = cursor.execute(_POLICIES, [relation["oid"]]).fetchall()
        if columns or relation["may_delete"]:
            yield _relation(relation, columns, policies)


def _relation(relation: dict[str, Any], columns: list[dict[str, Any]], policies: list[dict[str, Any]]) -> str:
    lines = [f"### {relation['name']}\n", f"{_sentence(relation['comment'])}\n"]
    if policies:
        rules = [f"{code(_VERBS[each['verb']])} {_rule(each)}" for each in policies]
        lines.append("\n".join(f"- {rule}" for rule in rules) + "\n")
    rows = ((code(each["name"]), each["type"], _allowed(each), _sentence(each["comment"])) for each in columns)
    lines.append(table(("Column", "Type", "Allowed", "Meaning"), rows))
    return "\n".join(lines)


def _rule(policy: dict[str, Any]) -> str:
    return _sentence(policy["comment"] or f"by the policy `{policy['name']}`")


def _allowed(column: dict[str, Any]) -> str:
    """The verbs that `authenticated` may use on the column."""
    return ", ".join(verb for verb in ("select", "insert", "update") if column[f"may_{verb}"])


def _function(each: dict[str, Any]) -> str:
    call, result = f"{each['name']}({each['arguments']})", f"returns {each['result']}"
    signature = f"{call} {result}"
    if len(signature) > _MAX_CODE:
        signature = f"{call}\n  {result}"
    return f"### {each['name']}\n\n```sql\n{signature}\n```\n\n{_sentence(each['comment'])}\n"


def _sentence(comment: str | None) -> str:
    """The comment in one line; angle brackets are text, not HTML."""
    return " ".join((comment or "").split()).replace("<", "&lt;")
