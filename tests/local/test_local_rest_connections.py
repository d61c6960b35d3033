"""State beyond one request: connections, transactions and the schema cache."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from local import postgres
from tests.local.servers import Api, Server, running_api, running_postgres
from tests.stack_process import wait_until

_OPEN = "select count(*) from pg_stat_activity where state like 'idle in transaction%' or query like '%wait_for%' "


@pytest.fixture
def scratch(api: Api) -> Iterator[Api]:
    """The API with a schema that this test may change; objects called scratch are dropped afterwards."""
    yield api
    api.query("drop table if exists public.scratch; drop function if exists public.scratch_it")


def test_the_next_request_sees_a_changed_schema(scratch: Api, http: httpx.Client) -> None:
    """It sees new tables, columns and functions, also replaced ones of the same name."""
    assert http.get("/rest/v1/scratch").status_code == 404
    scratch.query("create table public.scratch as select 1 as a; grant select on public.scratch to anon", "postgres")
    assert http.get("/rest/v1/scratch").json() == [{"a": 1}]
    scratch.query("alter table public.scratch add column b text default 'x'", "postgres")
    assert http.get("/rest/v1/scratch?select=b").json() == [{"b": "x"}]
    made = "create function public.scratch_it() returns {} language sql as '{}';"
    made += "grant execute on function public.scratch_it to anon"
    scratch.query(made.format("integer", "select 1"), "postgres")
    assert http.post("/rest/v1/rpc/scratch_it").json() == 1
    scratch.query("drop function public.scratch_it", "postgres")
    scratch.query(made.format("setof public.scratch", "table public.scratch"), "postgres")
    assert wait_until(lambda: http.post("/rest/v1/rpc/scratch_it").json() == [{"a": 1, "b": "x"}], 2)
    scratch.query("drop table public.scratch cascade", "postgres")
    assert http.get("/rest/v1/scratch").json()["code"] in {"PGRST205", "42P01"}


def test_a_repeated_request_survives_a_changed_column_type(scratch: Api, http: httpx.Client) -> None:
    """The same request works before and after the change."""
    scratch.query("create table public.scratch as select 1 as a; grant select on public.scratch to anon", "postgres")
    for _ in range(8):
        assert http.get("/rest/v1/scratch?a=eq.1").json() == [{"a": 1}]
    scratch.query("alter table public.scratch alter column a type text", "postgres")
    for _ in range(8):
        assert http.get("/rest/v1/scratch?a=eq.1").json() == [{"a": "1"}]


def test_a_role_has_a_statement_timeout(api: Api, http: httpx.Client) -> None:
    """A role's statement_timeout ends its statements; a function's own timeout overrides it."""
    api.query("alter role anon set statement_timeout = '200ms'; notify pgrst, 'reload config'")
    try:
        slow = http.post("/rest/v1/rpc/wait_for", json={"seconds": 5})
        assert (slow.status_code, slow.json()["code"]) == (500, "57014")
        assert http.post("/rest/v1/rpc/patient").status_code == 200
    finally:
        api.query("alter role anon set statement_timeout = '3s'; notify pgrst, 'reload config'")


def test_a_disconnected_client_leaves_no_open_transaction(api: Api) -> None:
    """This holds in the middle of a body and of a query, and the API continues."""
    host, port = api.url.removeprefix("http://").split(":")
    key = f"host: x\r\napikey: {api.keys.secret_key}\r\n"
    with socket.create_connection((host, int(port))) as half:
        half.sendall(f"POST /rest/v1/rpc/wait_for HTTP/1.1\r\n{key}content-length: 99\r\n\r\n{{".encode())
    body = '{"seconds": 0.3}'
    with socket.create_connection((host, int(port))) as impatient:
        head = f"POST /rest/v1/rpc/wait_for HTTP/1.1\r\n{key}content-length: {len(body)}\r\n\r\n"
        impatient.sendall((head + body).encode())
        assert wait_until(lambda: api.query(_OPEN + "and state = 'active' and pid <> pg_backend_pid()") == [(1,)], 5)
    assert wait_until(lambda: api.query(_OPEN + "and state <> 'idle' and pid <> pg_backend_pid()") == [(0,)], 5)
    assert api.http.post(f"{api.url}/rest/v1/rpc/add", json={"a": 1}, headers=api.headers()).json() == 11


def test_a_connection_keeps_no_request_state(api: Api, http: httpx.Client) -> None:
    """Role, claims and response settings end with the transaction, also after an error."""
    http.post("/rest/v1/rpc/respond", json={"status": "418", "headers": '[{"x-left": "over"}]'})
    http.post("/rest/v1/rpc/refuse", json={"code": "PT400"})
    for _ in range(4):
        response = http.post("/rest/v1/rpc/who", headers={"apikey": api.keys.secret_key})
        assert (response.status_code, response.json()["role"]) == (200, "service_role")
        assert "x-left" not in response.headers
        assert http.post("/rest/v1/rpc/who").json()["role"] == "anon"


def test_more_requests_than_connections_are_all_answered(api: Api) -> None:
    """Requests wait for a free connection."""

    def call(number: int) -> object:
        response = api.http.post(f"{api.url}/rest/v1/rpc/add", json={"a": number, "b": 0}, headers=api.headers())
        return response.json()

    with ThreadPoolExecutor(40) as callers:
        assert list(callers.map(call, range(200))) == list(range(200))


@pytest.fixture(scope="module")
def fragile() -> Iterator[tuple[Server, Api]]:
    """A PostgreSQL that the test may stop, with its API."""
    with running_postgres() as server:
        postgres.prepare_database(server.port, "fragile")
        server.query("create function public.one() returns int language sql as 'select 1'", "fragile", "postgres")
        server.query("grant execute on function public.one() to anon", "fragile", "postgres")
        with running_api(server, "fragile") as api:
            yield server, api


def _statuses(api: Api, count: int) -> list[int]:
    url = f"{api.url}/rest/v1/rpc/one"

    def call(_: int) -> int:
        return api.http.post(url, headers=api.headers()).status_code

    with ThreadPoolExecutor(count) as callers:
        return list(callers.map(call, range(count)))


def test_the_api_survives_a_restart_of_postgres(fragile: tuple[Server, Api]) -> None:
    """Data API and Auth answer 503 while it is down; afterwards no broken connection is left."""
    server, api = fragile
    assert set(_statuses(api, 12)) == {200}
    postgres.stop(server.data)
    with ThreadPoolExecutor(2) as callers:
        calls = [f"{api.url}/rest/v1/rpc/one", f"{api.url}/auth/v1/signup"]
        data, auth = callers.map(lambda url: api.http.post(url, json={}, headers=api.headers()), calls)
    assert (data.status_code, data.json()["code"]) == (503, "PGRST003")
    assert (auth.status_code, auth.json()["error_code"]) == (503, "unexpected_failure")
    postgres.start(server.data, server.port)
    assert wait_until(lambda: _statuses(api, 1) == [200], 10)
    assert set(_statuses(api, 12)) == {200}
    assert api.http.post(f"{api.url}/auth/v1/signup", json={}, headers=api.headers()).status_code == 200


def test_a_restart_between_requests_fails_no_request(fragile: tuple[Server, Api]) -> None:
    """Broken idle connections are detected before use."""
    server, api = fragile
    assert wait_until(lambda: set(_statuses(api, 12)) == {200}, 10)
    postgres.start(server.data, server.port)
    assert _statuses(api, 1) == [200]
    assert set(_statuses(api, 12)) == {200}


def test_a_killed_connection_fails_only_its_request(fragile: tuple[Server, Api]) -> None:
    """The running request gets a 503; the next one works."""
    server, api = fragile
    made = "create or replace function public.slow() returns text language sql as 'select pg_sleep(5)::text'"
    server.query(f"{made}; grant execute on function public.slow to anon", "fragile", "postgres")
    kill = """select pg_terminate_backend(pid) from pg_stat_activity
              where query like '%slow%' and usename = 'authenticator' and state = 'active'"""
    with ThreadPoolExecutor(1) as callers:
        call = callers.submit(api.http.post, f"{api.url}/rest/v1/rpc/slow", headers=api.headers())
        assert wait_until(lambda: server.query(kill, "fragile") == [(True,)], 5)
        assert call.result().status_code == 503
    assert _statuses(api, 1) == [200]
