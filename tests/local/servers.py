"""Starts an embedded PostgreSQL and the API over it as separate processes on free ports."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from supabase.lib.client_options import SyncClientOptions

import supabase
from local import postgres
from local.environment import ROOT
from local.keys import Keys, load_or_create
from local.processes import answers
from tests.stack_process import clean_environ, free_ports, wait_until

_START_SECONDS = 20
PASSWORD = "correct horse"


@dataclass(frozen=True, slots=True)
class Server:
    """A running PostgreSQL."""

    data: Path
    port: int

    def query(self, statement: str, dbname: str, user: str = postgres.SUPERUSER) -> list[Any]:
        """The rows of one statement; empty when it returns none."""
        with psycopg.connect(postgres.dsn(self.port, user, dbname), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@dataclass(frozen=True, slots=True)
class Api:
    """The running API of one database; `http` is what its clients share."""

    http: httpx.Client
    url: str
    keys: Keys
    server: Server
    dbname: str
    console: Path

    def query(self, statement: str, user: str = postgres.SUPERUSER) -> list[Any]:
        """The rows of one statement, directly from the database."""
        return self.server.query(statement, self.dbname, user)

    def headers(self, token: str | None = None, **more: str) -> dict[str, str]:
        """Headers of a visitor or, with a token, of a signed-in user."""
        return {"apikey": self.keys.publishable_key, **({"Authorization": f"Bearer {token}"} if token else {}), **more}

    def client(self, key: str | None = None) -> Any:
        """A supabase-py client of a visitor or, with a secret key, of the service; it starts no timers.

        The type is Any: supabase-py's types describe neither our rows nor the plain dicts that it accepts.
        """
        options = SyncClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=self.http)
        return supabase.create_client(self.url, key or self.keys.publishable_key, options)


@contextlib.contextmanager
def running_postgres() -> Iterator[Server]:
    """A new cluster in a directory that PostgreSQL's own user can reach; it is deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="parley-local-"))
    folder.chmod(0o755)
    server = Server(folder / "data", free_ports())
    try:
        postgres.start(server.data, server.port)
        yield server
    finally:
        postgres.stop(server.data)
        shutil.rmtree(folder)


@contextlib.contextmanager
def running_api(server: Server, dbname: str) -> Iterator[Api]:
    """`python -m local.api` with the variables of the supervisor."""
    port, console = free_ports(), server.data.with_name(f"{dbname}-console.txt")
    keys_file = server.data.with_name("keys.json")
    http = httpx.Client(timeout=10)
    api = Api(http, f"http://127.0.0.1:{port}", load_or_create(keys_file), server, dbname, console)
    settings = {
        "PARLEY_API_PORT": str(port),
        "PARLEY_API_URL": api.url,
        "PARLEY_SITE_URL": "http://127.0.0.1:1/page",
        "PARLEY_DATABASE_PORT": str(server.port),
        "PARLEY_DATABASE_NAME": dbname,
        "PARLEY_KEYS_FILE": str(keys_file),
        "PYTHONUNBUFFERED": "1",
    }
    with console.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.api"],
            cwd=ROOT,
            env=clean_environ() | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        assert wait_until(lambda: answers(f"{api.url}/auth/v1/health"), _START_SECONDS), console.read_text()
        yield api
        assert "Traceback" not in console.read_text(), console.read_text()
    finally:
        process.terminate()
        process.wait(15)
        http.close()


def signed_up(api: Api, email: str, password: str = PASSWORD) -> Any:
    """A supabase-py client of a new user."""
    client = api.client()
    client.auth.sign_up({"email": email, "password": password})
    return client
