"""The embedded PostgreSQL: start, stop, restart with its data, and the look of a Supabase project."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from local import postgres
from local.errors import StackError
from tests.local.servers import Server, running_postgres
from tests.stack_process import free_ports, wait_until


@pytest.fixture(scope="module")
def cluster() -> Iterator[Server]:
    """A cluster that tests may stop and kill; each test leaves it running."""
    with running_postgres() as running:
        yield running


def test_starting_twice_is_one_server(cluster: Server) -> None:
    """A start on a directory in use stops the old server and keeps the port."""
    first = int((cluster.data / "postmaster.pid").read_text().splitlines()[0])
    second = postgres.start(cluster.data, cluster.port)
    assert second != first
    assert wait_until(lambda: not Path(f"/proc/{first}").exists() or _is_zombie(first), 5)
    assert cluster.query("select 1", "postgres") == [(1,)]


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    return True


def test_stopping_twice_is_harmless(cluster: Server) -> None:
    """A second stop has no effect."""
    postgres.stop(cluster.data)
    assert not postgres.is_running(cluster.data)
    postgres.stop(cluster.data)
    postgres.start(cluster.data, cluster.port)
    assert postgres.is_running(cluster.data)


def test_data_survives_a_stop_and_a_kill(cluster: Server) -> None:
    """Data stays after a normal stop and after SIGKILL; a stale pid file does not block the start."""
    cluster.query("create table public.kept (id int)", "postgres")
    cluster.query("insert into public.kept values (1)", "postgres")
    postgres.stop(cluster.data)
    pid = postgres.start(cluster.data, cluster.port)
    cluster.query("insert into public.kept values (2)", "postgres")
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not postgres.is_running(cluster.data), 5)
    assert (cluster.data / "postmaster.pid").exists()
    postgres.start(cluster.data, cluster.port)
    assert cluster.query("select id from public.kept order by id", "postgres") == [(1,), (2,)]


@pytest.mark.parametrize("content", ["", "nonsense\n", "{pid}\n/somewhere\n"])
def test_a_stale_pid_file_is_no_server(tmp_path: Path, content: str) -> None:
    """An empty file, a torn file or the id of another program is no server, and no process is signalled."""
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (tmp_path / "postmaster.pid").write_text(content.format(pid=bystander.pid))
        assert not postgres.is_running(tmp_path)
        postgres.stop(tmp_path)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_partial_cluster_is_created_again(cluster: Server) -> None:
    """The next start deletes the draft of an interrupted initdb."""
    data = cluster.data.with_name("half")
    draft = cluster.data.with_name("half.new")
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")
    port = free_ports()
    try:
        postgres.start(data, port)
        assert Server(data, port).query("select 1", "postgres") == [(1,)]
        assert not draft.exists()
    finally:
        postgres.stop(data)


def test_a_directory_with_other_files_stays_unchanged(cluster: Server) -> None:
    """No cluster is created there, and the error says so."""
    data = cluster.data.with_name("letters")
    data.mkdir()
    (data / "letter.txt").write_text("dear")
    with pytest.raises(StackError, match="holds something other than a PostgreSQL cluster"):
        postgres.start(data, free_ports())
    assert (data / "letter.txt").read_text() == "dear"


def test_a_port_in_use_is_an_error_with_the_servers_log(cluster: Server) -> None:
    """A server that cannot start raises StackError with the last log lines."""
    data = cluster.data.with_name("crowded")
    with pytest.raises(StackError, match="Address already in use"):
        postgres.start(data, cluster.port)
    assert not postgres.is_running(data)


def test_preparing_twice_changes_nothing(server: Server) -> None:
    """The second call leaves users and grants unchanged."""
    postgres.prepare_database(server.port, "twice")
    server.query("insert into auth.users (id) values (gen_random_uuid())", "twice")
    postgres.prepare_database(server.port, "twice", is_auto_exposed=True)
    assert server.query("select count(*) from auth.users", "twice") == [(1,)]
    server.query("create table public.t (id int)", "twice", "postgres")
    assert server.query("select has_table_privilege('anon', 'public.t', 'select')", "twice") == [(False,)]


def test_postgres_owns_the_database_and_is_no_superuser(server: Server) -> None:
    """As on Supabase, migrations bypass row security but not privileges."""
    postgres.prepare_database(server.port, "roles")
    found = server.query(
        "select rolname, rolsuper, rolbypassrls, rolcanlogin from pg_roles where rolname in "
        "('postgres', 'anon', 'authenticated', 'service_role', 'authenticator') order by 1",
        "roles",
    )
    assert found == [
        ("anon", False, False, False),
        ("authenticated", False, False, False),
        ("authenticator", False, False, True),
        ("postgres", False, True, True),
        ("service_role", False, True, False),
    ]
    owner = "select pg_get_userbyid(datdba) from pg_database where datname = 'roles'"
    assert server.query(owner, "roles") == [("postgres",)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        server.query("copy (select 1) to program 'true'", "roles", "postgres")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        server.query("set role postgres", "roles", "authenticator")


@pytest.mark.parametrize(("is_auto_exposed", "verbs"), [(False, (False,) * 4), (True, (True,) * 4)])
def test_a_new_table_is_granted_only_with_auto_expose(
    server: Server, is_auto_exposed: bool, verbs: tuple[bool, ...]
) -> None:
    """Since 2026-10-30 there are no automatic grants; auto-expose grants tables, sequences and functions."""
    name = f"exposed_{is_auto_exposed}".lower()
    postgres.prepare_database(server.port, name, is_auto_exposed=is_auto_exposed)
    server.query("create table public.t (id serial)", name, "postgres")
    server.query("create function public.f() returns int language sql as 'select 1'", name, "postgres")
    server.query("revoke execute on function public.f() from public", name, "postgres")
    for role in ("anon", "authenticated", "service_role"):
        query = f"""select has_table_privilege('{role}', 'public.t', 'select'),
            has_table_privilege('{role}', 'public.t', 'insert'),
            has_sequence_privilege('{role}', 'public.t_id_seq', 'usage'),
            has_function_privilege('{role}', 'public.f()', 'execute')"""
        assert server.query(query, name) == [verbs]


def test_a_clone_is_an_independent_database(server: Server) -> None:
    """A copy has the tables, rows and owner of its template; changes stay separate; dropping ends its connections."""
    postgres.prepare_database(server.port, "template_one")
    server.query("create table public.t as select 1 as id", "template_one", "postgres")
    postgres.clone_database(server.port, "template_one", "clone_one")
    server.query("insert into public.t values (2)", "clone_one", "postgres")
    assert server.query("select count(*) from public.t", "clone_one") == [(2,)]
    assert server.query("select count(*) from public.t", "template_one") == [(1,)]
    with psycopg.connect(postgres.dsn(server.port, dbname="clone_one")) as connection:
        connection.execute("select 1")
        postgres.drop_database(server.port, "clone_one")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    assert server.query("select 1 from pg_database where datname = 'clone_one'", "postgres") == []


def test_policies_can_read_the_requests_claims(server: Server) -> None:
    """auth.uid(), auth.role(), auth.email() and auth.jwt() read the claims; without claims they return null."""
    postgres.prepare_database(server.port, "claims")
    query = "select auth.uid()::text, auth.role(), auth.email(), auth.jwt() ->> 'x'"
    assert server.query(query, "claims", "postgres") == [(None, None, None, None)]
    claims = '{"sub": "11111111-2222-4333-8444-555555555555", "role": "authenticated", "email": "a@b.de", "x": "y"}'
    with psycopg.connect(postgres.dsn(server.port, dbname="claims")) as connection:
        connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        row = connection.execute(query.encode()).fetchone()
    assert row == ("11111111-2222-4333-8444-555555555555", "authenticated", "a@b.de", "y")
