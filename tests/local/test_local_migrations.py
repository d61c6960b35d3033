"""Migrations: in order, once, whole or not at all, and recorded as the Supabase CLI records them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from local import migrations, postgres
from local.problems import Problem
from tests.local.servers import Server

_FIRST, _SECOND, _THIRD = "20260101000000", "20260102000000", "20260103000000"


@pytest.fixture(scope="module")
def template(server: Server) -> str:
    """A prepared database that is cloned for every test."""
    postgres.prepare_database(server.port, "unmigrated")
    return "unmigrated"


@pytest.fixture
def query(server: Server, template: str) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    """Asks this test's own database."""
    postgres.clone_database(server.port, template, "migrated")
    yield lambda statement: server.query(statement, "migrated")
    postgres.drop_database(server.port, "migrated")


@pytest.fixture
def apply(server: Server, query: object, tmp_path: Path) -> Callable[..., list[str]]:  # noqa: ARG001 - its database
    """Writes files as given by version and applies the directory."""

    def run(**files: str) -> list[str]:
        for version, text in files.items():
            (tmp_path / f"{version.removeprefix('v')}_do_{version[-1]}.sql").write_text(text)
        return migrations.apply(postgres.dsn(server.port, dbname="migrated"), tmp_path)

    return run


Query = Callable[[str], list[tuple[object, ...]]]
Apply = Callable[..., list[str]]


def test_they_are_applied_in_order_and_recorded_as_the_cli_does(apply: Apply, query: Query, tmp_path: Path) -> None:
    """Versions come back in order; the history has version, statements and name."""
    (tmp_path / f"{_SECOND}_add_column.sql").write_text("alter table public.t add column b int;")
    (tmp_path / f"{_FIRST}_create_t.sql").write_text(
        "create table public.t (a text); insert into public.t values ('%');"
    )
    (tmp_path / "README.md").write_text("not a migration")
    assert apply() == [_FIRST, _SECOND]
    history = "select version, name, statements from supabase_migrations.schema_migrations order by version"
    assert query(history) == [
        (_FIRST, "create_t", ["create table public.t (a text); insert into public.t values ('%');"]),
        (_SECOND, "add_column", ["alter table public.t add column b int;"]),
    ]
    assert query("select a, b from public.t") == [("%", None)]
    assert query("select tableowner from pg_tables where tablename = 't'") == [("postgres",)]


def test_an_applied_one_is_skipped(apply: Apply, query: Query) -> None:
    """A second run applies only what is new."""
    assert apply(v20260101000000="create table public.t (id int);") == [_FIRST]
    assert apply() == []
    assert apply(v20260102000000="insert into public.t values (1);") == [_SECOND]
    assert query("select id from public.t") == [(1,)]


def test_a_failing_one_leaves_nothing_of_itself_and_all_before_it(apply: Apply, query: Query) -> None:
    """The Problem names the file and PostgreSQL's reason; a repaired file goes on where it stopped."""
    broken = "create table public.half (id int); select no_such_function();"
    with pytest.raises(Problem, match=rf"{_SECOND}_do_0.sql failed: .*no_such_function"):
        apply(v20260101000000="create table public.t (id int);", v20260102000000=broken, v20260103000000="select 1;")
    assert query("select to_regclass('public.t') is not null, to_regclass('public.half') is null") == [(True, True)]
    assert query("select version from supabase_migrations.schema_migrations") == [(_FIRST,)]
    assert apply(v20260102000000="create table public.half (id int);") == [_SECOND, _THIRD]


def test_a_missing_file_is_a_problem(apply: Apply, tmp_path: Path) -> None:
    """A database that knows more than the directory is from somewhere else: its versions are named."""
    apply(v20260101000000="select 1;", v20260102000000="select 1;")
    (tmp_path / f"{_FIRST}_do_0.sql").unlink()
    with pytest.raises(Problem, match=rf"files are missing: {_FIRST}$"):
        apply()


def test_a_database_from_before_the_baseline_says_how_to_go_on(apply: Apply, tmp_path: Path) -> None:
    """Its migrations have no files any more: the Problem names the command that makes a new database."""
    apply(v20260101000000="select 1;")
    (tmp_path / f"{_FIRST}_do_0.sql").unlink()
    with pytest.raises(Problem, match=r"before the baseline: run `python -m local reset`"):
        apply(v20261201000000="select 1;")


def test_a_late_file_is_a_problem(apply: Apply) -> None:
    """One that is older than what was applied would run in another order elsewhere."""
    apply(v20260102000000="select 1;")
    with pytest.raises(Problem, match=rf"older than the newest applied one: {_FIRST}$"):
        apply(v20260101000000="select 1;")


@pytest.mark.parametrize("name", ["1_short.sql", "20260101000000.sql", "create_table.sql"])
def test_a_file_without_a_version_is_a_problem(apply: Apply, tmp_path: Path, name: str) -> None:
    """A name that nothing can be ordered by is refused before anything runs."""
    (tmp_path / name).write_text("select 1;")
    with pytest.raises(Problem, match="is not named"):
        apply()


def test_two_files_of_one_version_are_a_problem(apply: Apply, tmp_path: Path) -> None:
    """The history has room for one of them."""
    (tmp_path / f"{_FIRST}_a.sql").write_text("select 1;")
    (tmp_path / f"{_FIRST}_b.sql").write_text("select 1;")
    with pytest.raises(Problem, match="have the same version"):
        apply()


def test_what_one_sets_for_its_session_does_not_reach_the_next(apply: Apply, query: Query) -> None:
    """A dump's empty search_path, or a role left set, is gone when the next file runs, and its record is written."""
    first = "select set_config('search_path', '', false); set role service_role;"
    assert apply(v20260101000000=first, v20260102000000="create table t (id int);") == [_FIRST, _SECOND]
    assert query("select schemaname, tableowner from pg_tables where tablename = 't'") == [("public", "postgres")]


def test_one_with_a_transaction_of_its_own_is_applied_and_recorded(apply: Apply, query: Query) -> None:
    """`begin` and `commit` in a file, as other tools write them, do no harm."""
    assert apply(v20260101000000="begin; create table public.t (id int); commit;") == [_FIRST]
    assert query("select to_regclass('public.t') is not null") == [(True,)]
    assert apply() == []


def test_a_database_that_is_not_there_says_so(server: Server, tmp_path: Path) -> None:
    """Who calls it with a wrong address gets PostgreSQL's own error."""
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        migrations.apply(postgres.dsn(server.port, dbname="nowhere"), tmp_path)
