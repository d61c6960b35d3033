"""The running stack, started once per session on free ports; or one that is already there, by environment variables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.launch import data_folder, free_ports, running_stack
from tests.stack.people import Person, Stack, connect, eventually, sign_up
from tests.upstream import Upstream

ROOT = Path(__file__).resolve().parents[2]
_NAMES = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY", "DATABASE_URL", "CHAT_URL", "CRON_SECRET")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Everything running: database, API, model and functions."""
    if all(name in os.environ for name in _NAMES):
        yield Stack(dict(os.environ))
        return
    with data_folder() as data, running_stack(data, free_ports(), "--no-reload") as running:
        yield Stack(running.values)


@pytest.fixture(scope="session")
def db(stack: Stack) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """The database as its owner."""
    with connect(stack) as connection:
        yield connection


@pytest.fixture
def alice(stack: Stack) -> Person:
    """A person of this test's own."""
    return sign_up(stack)


@pytest.fixture
def bob(stack: Stack) -> Person:
    """Another one."""
    return sign_up(stack)


Models = Callable[..., str]


@pytest.fixture
def model(db: psycopg.Connection[dict[str, Any]], upstream: Upstream) -> Iterator[Models]:
    """Registers a model of the scripted upstream (or of `base_url`) for this test and gives its identifier."""
    nodes: list[int] = []

    def register(
        name: str, pricing: str | None = '{"input": 1, "output": 2, "cached_input": 0.5}', base_url: str = ""
    ) -> str:
        row = db.execute(
            """insert into public.client_nodes (owner_id, name, base_url, is_shared)
               values (null, 'scripted', %s, true) returning id""",
            [base_url or upstream.url("client")],
        ).fetchone()
        assert row is not None
        nodes.append(row["id"])
        identifier = f"client:{row['id']}:{name}"
        db.execute(
            """insert into public.llm_models
                 (model_key, model_name, provider, upstream_id, node_id, capabilities, pricing, display_order)
               values (%s, %s, 'client', %s, %s, '{"context_window": 8192, "max_output_tokens": 1000}', %s, 900)""",
            [identifier, name, name, row["id"], pricing],
        )
        return identifier

    yield register
    db.execute("delete from public.client_nodes where id = any(%s)", [nodes])


@pytest.fixture
def function(stack: Stack, tmp_path: Path) -> Iterator[Callable[..., tuple[str, subprocess.Popen[bytes]]]]:
    """Starts a function in a process of its own with other variables than the stack's; gives its URL and process."""
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str, **changes: str) -> tuple[str, subprocess.Popen[bytes]]:
        port = free_ports()
        environ = {**os.environ, **stack.env, **changes, "PYTHONPATH": str(ROOT)}
        environ |= {"FUNCTION_TARGET": name, "FUNCTION_SOURCE": f"functions/{name}/main.py", "ALLOW_PRIVATE_NODES": "1"}
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "functions_framework.aio:app",
            "--port",
            str(port),
            "--lifespan",
            "on",
        ]
        with (tmp_path / f"{name}-{port}.log").open("wb") as log:
            running.append(
                subprocess.Popen([*command, "--log-level", "warning"], cwd=ROOT, env=environ, stdout=log, stderr=log)
            )
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(url), 30)
        return url, running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False
