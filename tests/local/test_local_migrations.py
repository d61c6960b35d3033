"""Migrations: applied in order, once, atomically, and recorded like the Supabase CLI does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from local import migrations, postgres
from local.errors import StackError
from tests.local.servers import Server

_FIRST, _SECOND, _THIRD = "20260101000000", "20260102000000", "20260103000000"


@pytest.fixture(scope="module")
def template(server: Server) -> str:
    """A prepared database; each test clones it."""
    postgres.prepare_database(server.port, "unmigrated")
    return "unmigrated"


@pytest.fixture
def query(server: Server, template: str) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    """Runs statements in this test's own database."""
    postgres.clone_database(server.port, template, "migrated")
    yield lambda statement: server.query(statement, "migrated")
    postgres.drop_database(server.port, "migrated")


@pytest.fixture
def apply(server: Server, query: object, tmp_path: Path) -> Callable[..., list[str]]:  # noqa: ARG001 - its database
    """Writes the given files by version and applies the directory."""

    def run(**files: str) -> list[str]:
        for version, text in files.items():
            (tmp_path / f"{version.removeprefix('v')}_do_{version[-1]}.sql").write_text(text)
        return migrations.apply(postgres.dsn(server.port, dbname="migrated"), tmp_path)

    return run


Query = Callable[[str], list[tuple[object, ...]]]
Apply = Callable[..., list[str]]


def test_migrations_are_applied_in_order_and_recorded(apply: Apply, query: Query, tmp_path: Path) -> None:
    """The versions are returned in order; the history has version, statements and name, as from the CLI."""
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


def test_an_applied_migration_is_skipped(apply: Apply, query: Query) -> None:
    """A second run applies only new files."""
    assert apply(v20260101000000="create table public.t (id int);") == [_FIRST]
    assert apply() == []
    assert apply(v20260102000000="insert into public.t values (1);") == [_SECOND]
    assert query("select id from public.t") == [(1,)]


def test_a_failed_migration_rolls_back_alone(apply: Apply, query: Query) -> None:
    """The error names the file and PostgreSQL's reason; after a repair the next run continues there."""
    broken = "create table public.half (id int); select no_such_function();"
    with pytest.raises(StackError, match=rf"{_SECOND}_do_0.sql failed: .*no_such_function"):
        apply(v20260101000000="create table public.t (id int);", v20260102000000=broken, v20260103000000="select 1;")
    assert query("select to_regclass('public.t') is not null, to_regclass('public.half') is null") == [(True, True)]
    assert query("select version from supabase_migrations.schema_migrations") == [(_FIRST,)]
    assert apply(v20260102000000="create table public.half (id int);") == [_SECOND, _THIRD]


def test_a_missing_file_is_an_error(apply: Apply, tmp_path: Path) -> None:
    """The error names applied versions without a file, as the database comes from another directory."""
    apply(v20260101000000="select 1;", v20260102000000="select 1;")
    (tmp_path / f"{_FIRST}_do_0.sql").unlink()
    with pytest.raises(StackError, match=rf"files are missing: {_FIRST}$"):
        apply()


def test_a_database_from_before_the_baseline_names_the_reset_command(apply: Apply, tmp_path: Path) -> None:
    """For applied migrations older than the baseline, the error names the command that makes a new database."""
    apply(v20260101000000="select 1;")
    (tmp_path / f"{_FIRST}_do_0.sql").unlink()
    with pytest.raises(StackError, match=r"before the baseline: run `python -m local reset`"):
        apply(v20261201000000="select 1;")


def test_a_late_file_is_an_error(apply: Apply) -> None:
    """A file older than an applied one would run in another order elsewhere."""
    apply(v20260102000000="select 1;")
    with pytest.raises(StackError, match=rf"older than the newest applied one: {_FIRST}$"):
        apply(v20260101000000="select 1;")


@pytest.mark.parametrize("name", ["1_short.sql", "20260101000000.sql", "create_table.sql"])
def test_a_file_without_a_version_is_an_error(apply: Apply, tmp_path: Path, name: str) -> None:
    """A name without a valid version is rejected before any file runs."""
    (tmp_path / name).write_text("select 1;")
    with pytest.raises(StackError, match="is not named"):
        apply()


def test_two_files_of_one_version_are_an_error(apply: Apply, tmp_path: Path) -> None:
    """The history can hold only one of them."""
    (tmp_path / f"{_FIRST}_a.sql").write_text("select 1;")
    (tmp_path / f"{_FIRST}_b.sql").write_text("select 1;")
    with pytest.raises(StackError, match="have the same version"):
        apply()


def test_session_settings_do_not_reach_the_next_migration(apply: Apply, query: Query) -> None:
    """An empty search_path or a changed role is reset before the next file, and the record is written."""
    first = "select set_config('search_path', '', false); set role service_role;"
    assert apply(v20260101000000=first, v20260102000000="create table t (id int);") == [_FIRST, _SECOND]
    assert query("select schemaname, tableowner from pg_tables where tablename = 't'") == [("public", "postgres")]


def test_a_migration_with_its_own_transaction_is_applied(apply: Apply, query: Query) -> None:
    """`begin` and `commit` in a file, as other tools write them, do no harm."""
    assert apply(v20260101000000="begin; create table public.t (id int); commit;") == [_FIRST]
    assert query("select to_regclass('public.t') is not null") == [(True,)]
    assert apply() == []


def test_a_missing_database_is_postgresqls_error(server: Server, tmp_path: Path) -> None:
    """A wrong address raises PostgreSQL's own error."""
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        migrations.apply(postgres.dsn(server.port, dbname="nowhere"), tmp_path)
