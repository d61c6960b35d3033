"""The schema files: they make the same database as the migrations, and each object is written once by the rules."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from local import baseline, migrations, snapshot
from tests.postgres_servers import PostgresServer

pytestmark = pytest.mark.processes
FILES = baseline.schema_files()
TEXTS = {path.name: path.read_text() for path in FILES}
SEED = baseline.MIGRATIONS / "20261201000700_seed_catalogue_and_limits.sql"
_POLICY = re.compile(r"^create policy (\w+)\s+on ([\w.]+)", re.MULTILINE)
_FUNCTION = re.compile(r"^create function ([\w.]+)\(", re.MULTILINE)
_TABLE = re.compile(r"^create table ([\w.]+)", re.MULTILINE)
_MAX_LINES = 10_900


def test_schemas_and_migrations_make_the_same_database(postgres_servers: PostgresServer) -> None:
    """Columns, constraints, indexes, triggers, policies, functions, comments and privileges are equal."""
    declared = postgres_servers.prepare_database("declared")
    migrations.run(declared, FILES)
    migrated = postgres_servers.prepare_database("migrated")
    migrations.apply(migrated, baseline.MIGRATIONS)
    found = snapshot.differences(snapshot.take(declared), snapshot.take(migrated))
    assert not found, "\n".join(found)


def test_the_comparison_names_what_differs(postgres_servers: PostgresServer) -> None:
    """A column privilege, a comment, a default or a policy that only one side has is a line with its name."""
    dsn = postgres_servers.prepare_database("compared")
    migrations.run(dsn, FILES)
    before = snapshot.take(dsn)
    changes = (
        "grant update (alias) on public.llm_routes to authenticated",
        "alter table public.feedback alter column created_at drop default",
        "comment on function private.is_admin() is 'changed'",
        "revoke execute on function private.is_admin() from authenticated",
        "drop policy feedback_select_own on public.feedback",
        "alter table public.feedback disable row level security",
    )
    for change in changes:
        postgres_servers.psql("compared", "-c", change)
    named = {line.split(":")[0] for line in snapshot.differences(before, snapshot.take(dsn))}
    assert named == {
        "privileges of column public.llm_routes.alias",
        "column public.feedback.created_at",
        "comment on function private.is_admin()",
        "privileges of function private.is_admin()",
        "comment on policy feedback_select_own on public.feedback",
        "policy feedback_select_own on public.feedback",
        "relation public.feedback",
    }


def test_the_baseline_is_what_the_schemas_say() -> None:
    """Until a later migration freezes it, the baseline is the schema files, unedited; `make baseline` writes it."""
    assert baseline.edited() == []
    if baseline.is_frozen():
        return
    for name, text in baseline.baseline().items():
        assert (baseline.MIGRATIONS / name).read_text() == text, name


@pytest.mark.parametrize(
    "pattern", [_FUNCTION, _TABLE, re.compile(r"^create policy (\w+)\s+on ([\w.]+)", re.MULTILINE)]
)
def test_each_function_table_and_policy_is_created_once(pattern: re.Pattern[str]) -> None:
    """One search finds the one place; nothing is replaced or altered later."""
    found = Counter(name for text in TEXTS.values() for name in pattern.findall(text))
    assert [name for name, count in found.items() if count > 1] == []
    assert not any(
        re.search(r"create or replace|^alter table .* (add|drop|alter) ", text, re.MULTILINE) for text in TEXTS.values()
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_schema_file_follows_the_rules(path: Path) -> None:
    """Header, width, lower case, no rows; tables with RLS, functions with revoke; these and policies with comment."""
    text = path.read_text()
    assert re.match(r"-- Purpose: .*\n(-- .*\n)*-- Affects: .*\n(-- .*\n)*-- Access: .*\n(-- .*\n)*\n", text)
    assert [line for line in text.splitlines() if len(line) > 120] == []
    code = re.sub(r"--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"", "", text)
    assert code == code.lower()
    outside = re.sub(r"\$\$.*?\$\$", "", re.sub(r"--[^\n]*", "", text), flags=re.DOTALL)
    assert not re.search(r"^\s*(insert into|update|delete from|truncate)\b", outside, re.MULTILINE)
    for table in _TABLE.findall(text):
        assert f"alter table {table} enable row level security;" in text, table
        assert f"revoke all on {table} from public, anon, authenticated, service_role;" in text, table
        assert f"comment on table {table} is" in text, table
    for policy, table in _POLICY.findall(text):
        assert f"comment on policy {policy} on {table} is" in text, policy
    for function in _FUNCTION.findall(text):
        assert f"comment on function {function}(" in text, function
        assert f"revoke execute on function {function} from public, anon, authenticated, service_role;" in text, (
            function
        )


def test_the_database_stays_small_enough_to_read() -> None:
    """Schemas and seed together have a limit of lines."""
    assert sum(len(path.read_text().splitlines()) for path in (*FILES, SEED)) <= _MAX_LINES
