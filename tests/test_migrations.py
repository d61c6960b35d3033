"""The migrations on other servers than the stack's: through the Supabase CLI, and with plain psql on each version."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from local import baseline, migrations, postgres
from tests.postgres_servers import PostgresServer
from tests.stack_process import free_ports

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "supabase" / "migrations").glob("*.sql"))


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """An embedded PostgreSQL of this module's own; its port."""
    folder = Path(tempfile.mkdtemp(prefix="parley-migrations-"))
    folder.chmod(0o755)
    port = free_ports()
    postgres.start(folder / "data", port)
    yield port
    postgres.stop(folder / "data")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def migrated(server: int) -> dict[bool, str]:
    """Connection strings of two migrated databases that no test changes, by whether they expose new tables."""
    found = {}
    for is_auto_exposed in (False, True):
        name = f"migrated_{is_auto_exposed}".lower()
        postgres.prepare_database(server, name, is_auto_exposed=is_auto_exposed)
        found[is_auto_exposed] = postgres.dsn(server, dbname=name)
        migrations.apply(found[is_auto_exposed], ROOT / "supabase" / "migrations")
    return found


def _supabase(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["npx", "--no-install", "supabase", *words, "--yes"],
        cwd=ROOT,
        env=os.environ | {"SUPABASE_TELEMETRY_DISABLED": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_cli_pushes_them_to_an_empty_database_and_agrees_with_our_own_records(server: int) -> None:
    """`supabase db push` applies all of them; what it records is what we record, so either may go on."""
    postgres.prepare_database(server, "pushed")
    remote = postgres.dsn(server, dbname="pushed")
    pushed = _supabase("db", "push", f"--remote={remote}")
    assert pushed.returncode == 0, pushed.stderr
    assert migrations.apply(remote, ROOT / "supabase" / "migrations") == []
    postgres.prepare_database(server, "applied")
    applied = postgres.dsn(server, dbname="applied")
    assert len(migrations.apply(applied, ROOT / "supabase" / "migrations")) == len(FILES)
    again = _supabase("db", "push", f"--remote={applied}")
    assert again.returncode == 0, again.stderr
    assert "Applying migration" not in again.stdout + again.stderr


def test_a_landed_migration_is_never_edited() -> None:
    """Each file has the checksum that it landed with; `make baseline` writes the checksums of new files."""
    assert baseline.CHECKSUMS.read_text() == baseline.checksums()


@pytest.mark.parametrize("is_auto_exposed", [False, True])
def test_the_advisors_have_nothing_to_say(migrated: dict[bool, str], is_auto_exposed: bool) -> None:
    """`supabase db advisors` finds nothing, whether or not the project grants new tables by itself."""
    found = _supabase("db", "advisors", f"--remote={migrated[is_auto_exposed]}", "--output-format", "json")
    assert found.returncode == 0, found.stderr
    answer = json.loads(next(line for line in found.stdout.splitlines() if line.startswith("{")))
    assert answer["results"] == []


def test_a_project_that_exposes_new_tables_ends_with_the_same_grants(migrated: dict[bool, str]) -> None:
    """Every table is granted explicitly: the default of the project makes no difference."""
    grants = []
    for dsn in migrated.values():
        with psycopg.connect(dsn) as connection:
            tables = connection.execute("select relname, relacl::text from pg_class where relkind in ('r', 'S')")
            functions = connection.execute("select proname, proacl::text from pg_proc")
            ours = {
                row
                for row in (*tables, *functions)
                if row[1] and ("anon=" in row[1] or "authenticated=" in row[1] or "service_role=" in row[1])
            }
        grants.append(ours)
    assert grants[0] == grants[1]


def test_they_apply_with_plain_psql(postgres_servers: PostgresServer) -> None:
    """Every file applies unchanged, each in a transaction of its own, on every version that Supabase runs."""
    postgres_servers.psql("template1", "-c", "create database plain", user=postgres.SUPERUSER)
    postgres_servers.psql("plain", "-1", "-f", ROOT / "local" / "bootstrap.sql", user=postgres.SUPERUSER)
    for path in FILES:
        postgres_servers.psql("plain", "-1", "-f", path)


def test_a_projects_own_function_before_requests_is_kept(server: int) -> None:
    """Migrations set `pgrst.db_pre_request` only where nothing is set."""
    query = """select s.setconfig from pg_db_role_setting as s join pg_database as d on d.oid = s.setdatabase
        where s.setrole = 'authenticator'::regrole and d.datname = current_database()"""
    found = {}
    for name in ("new_project", "old_project"):
        postgres.prepare_database(server, name)
        if name == "old_project":
            with psycopg.connect(postgres.dsn(server, postgres.SUPERUSER, name), autocommit=True) as owner:
                owner.execute(
                    "alter role authenticator in database old_project set pgrst.db_pre_request = 'public.mine'"
                )
        migrations.apply(postgres.dsn(server, dbname=name), ROOT / "supabase" / "migrations")
        with psycopg.connect(postgres.dsn(server, dbname=name)) as connection:
            found[name] = connection.execute(query).fetchone()
    assert found == {
        "new_project": (["pgrst.db_pre_request=private.pre_request"],),
        "old_project": (["pgrst.db_pre_request=public.mine"],),
    }
