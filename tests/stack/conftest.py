"""The running stack, started once per session on free ports; or one that is already there, by environment variables."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import certifi
import httpx
import psycopg
import pytest

from tests.fakes.providers import Upstream
from tests.providers import named, variables
from tests.stack import turns
from tests.stack.cast import Cast
from tests.stack.ledger_client import WAYS, Ledger, ledger_over
from tests.stack.people import Person, Stack, connect, eventually, sign_up
from tests.stack_process import data_folder, free_ports, running_stack

ROOT = Path(__file__).resolve().parents[2]
_NAMES = ("SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY", "DATABASE_URL", "CHAT_URL", "CRON_SECRET")
LOADED = {"PRELOAD_PROVIDERS": "google,anthropic"}  # on a busy machine their import takes seconds of the first turn


@pytest.fixture(scope="session", autouse=True)
def _one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each request makes an HTTP client, which would read all certificates; on loopback one is enough."""
    only = tmp_path_factory.mktemp("certificates") / "one.pem"
    end = "-----END CERTIFICATE-----\n"
    only.write_text(Path(certifi.where()).read_text().partition(end)[0] + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_DIR", raising=False)
        patch.setenv("SSL_CERT_FILE", str(only))
        yield


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Everything running: database, API, model and functions.

    The database's time zone has another date than UTC now, so that a date without `at time zone 'utc'` is noticed.
    """
    if all(name in os.environ for name in _NAMES):
        yield Stack(dict(os.environ))
        return
    zone = "Etc/GMT-14" if datetime.now(UTC).hour >= 10 else "Etc/GMT+12"
    with data_folder() as data, running_stack(data, free_ports(), "--no-reload", environ={"PGTZ": zone}) as running:
        yield Stack(running.values)
        turns.close_data_apis()


@pytest.fixture(scope="session")
def db(stack: Stack) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """The database as its owner."""
    with connect(stack) as connection:
        yield connection


@pytest.fixture(scope="session")
def direct_ledger(stack: Stack) -> Iterator[Ledger]:
    """The ledger over connections of our own."""
    running = ledger_over("connection", stack)
    yield running
    running.close()


@pytest.fixture(params=WAYS)
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the test twice: `turns` calls the ledger over the data API, then over connections of our own."""
    if request.param == "connection":
        monkeypatch.setattr(turns, "ledger", request.getfixturevalue("direct_ledger"))
    way: str = request.param
    return way


@pytest.fixture
def alice(stack: Stack) -> Person:
    """A person of this test's own."""
    return sign_up(stack)


@pytest.fixture
def bob(stack: Stack) -> Person:
    """Another one."""
    return sign_up(stack)


@pytest.fixture(scope="module")
def cast(stack: Stack, db: psycopg.Connection[dict[str, Any]]) -> Iterator[Cast]:
    """Made once a module; its tests only add rows."""
    made = Cast(stack, db, "client:1:smollm2-135m-instruct")
    yield made
    db.execute("delete from public.llm_routes where alias in (%s, 'forged')", [made.names["alias"]])
    db.execute("delete from public.provider_health where provider_key = 'tenancy'")
    db.execute("delete from public.provider_bills where provider in ('tenancy', 'x')")
    db.execute("delete from public.cost_corrections where day = '2026-01-01'")
    db.execute("delete from public.oauth_apps")
    db.execute("delete from public.llm_models where provider = 'x'")
    db.execute("delete from public.refresh_runs where trigger = 'tenancy'")
    db.execute("delete from public.cost_alerts where scope = %s", [made.names["owner"]])


Models = Callable[..., str]


@pytest.fixture(autouse=True)
def _own_scripts(upstream: Upstream) -> Iterator[None]:
    """A script that a test gives to a model ends with the test: models of other tests may have the same name."""
    yield
    upstream.plays.clear()


@pytest.fixture
def model(db: psycopg.Connection[dict[str, Any]], upstream: Upstream) -> Iterator[Models]:
    """Registers a model of the scripted upstream for this test and gives its identifier.

    It belongs to a node of its own (at `base_url`, if given), or to another `provider`, which only `chat_url` speaks.
    """
    nodes: list[int] = []
    others: list[str] = []

    def register(
        name: str,
        pricing: str | None = '{"input": 1, "output": 2, "cached_input": 0.5}',
        base_url: str = "",
        provider: str = "client",
    ) -> str:
        node = _add_node(db, base_url or upstream.url("client")) if provider == "client" else None
        identifier = f"{provider}:{name}" if node is None else f"client:{node}:{name}"
        if node is None:
            others.append(identifier)
        else:
            nodes.append(node)
        db.execute(
            """insert into public.llm_models
                 (model_key, model_name, provider, upstream_id, node_id, capabilities, pricing, display_order)
               values (%s, %s, %s, %s, %s, '{"context_window": 8192, "max_output_tokens": 1000}', %s, 900)""",
            [identifier, name, provider, name, node, pricing],
        )
        return identifier

    yield register
    db.execute("delete from public.client_nodes where id = any(%s)", [nodes])
    db.execute("delete from public.llm_models where model_key = any(%s)", [others])
    db.execute("delete from public.provider_health")


_ABLE = {
    "context_window": 100_000,
    "max_output_tokens": 1000,
    "supports_tools": True,
    "supports_json": True,
    "supports_vision": True,
}


@pytest.fixture
def able(db: psycopg.Connection[dict[str, Any]], model: Models) -> Models:
    """Registers a model of the scripted upstream that can do everything; `supports_x=False` takes an ability away."""

    def register(kind: str, provider: str = "openai", **lacking: bool) -> str:
        identifier = model(named(kind, provider), provider=provider)
        db.execute(
            "update public.llm_models set capabilities = %s where identifier = %s",
            [json.dumps(_ABLE | lacking), identifier],
        )
        db.execute(
            """update public.client_nodes set may_use_tools = true
               where id = (select node_id from public.llm_models where identifier = %s)""",
            [identifier],
        )
        return identifier

    return register


def _add_node(db: psycopg.Connection[dict[str, Any]], base_url: str) -> int:
    row = db.execute(
        """insert into public.client_nodes (owner_id, name, base_url, is_shared)
           values (null, 'scripted', %s, true) returning id""",
        [base_url],
    ).fetchone()
    assert row is not None
    number: int = row["id"]
    return number


@pytest.fixture
def function(stack: Stack, tmp_path: Path) -> Iterator[Callable[..., tuple[str, subprocess.Popen[bytes]]]]:
    """Starts a function in a process of its own with other variables than the stack's; gives its URL and process."""
    with contextlib.ExitStack() as running:
        yield lambda name, **changes: running.enter_context(running_function(stack, name, changes, tmp_path))


@pytest.fixture(scope="session")
def chat_url(stack: Stack, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A chat to which every provider is the scripted upstream."""
    changes = variables(upstream) | LOADED
    with running_function(stack, "chat", changes, tmp_path_factory.mktemp("chat")) as (url, _):
        yield url


@pytest.fixture
def chat(chat_url: str) -> str:
    """The address of chat without a slash."""
    return chat_url.rstrip("/")


@pytest.fixture(scope="session")
def assist_url(stack: Stack, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An assist to which every provider is the scripted upstream."""
    changes = variables(upstream) | LOADED
    with running_function(stack, "assist", changes, tmp_path_factory.mktemp("assist")) as (url, _):
        yield url


Refresh = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def refresh_url(stack: Stack, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A refresh to which every provider is the scripted upstream."""
    with running_function(stack, "refresh", variables(upstream), tmp_path_factory.mktemp("refresh")) as (url, _):
        yield url


@pytest.fixture(scope="session")
def llms_url(stack: Stack, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An llms with the same keys."""
    with running_function(stack, "llms", variables(upstream), tmp_path_factory.mktemp("llms")) as (url, _):
        yield url


@pytest.fixture
def refresh(
    stack: Stack, db: psycopg.Connection[dict[str, Any]], upstream: Upstream, refresh_url: str
) -> Iterator[Refresh]:
    """Runs the step `models` with a catalogue that is put back afterwards; gives the answer."""
    db.execute("create table private.kept_models as table public.llm_models")
    db.execute("alter table private.kept_models enable row level security")  # as /debug wants every table

    def run(url: str = refresh_url, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
        return httpx.post(url, json={"steps": ["models"]} | body, headers=headers, timeout=60)

    yield run
    upstream.shelves.clear()
    upstream.release()
    with db.transaction():
        db.execute("delete from public.llm_models where id not in (select id from private.kept_models)")
        db.execute("update public.llm_models set is_default = false where is_default")
        db.execute(
            """update public.llm_models as m set (model_name, capabilities, pricing, is_active, is_default, default_by,
                 display_order, replaced_by, source, missing_since, last_synced_at, synced_values, retires_on) =
               (k.model_name, k.capabilities, k.pricing, k.is_active, k.is_default, k.default_by, k.display_order,
                k.replaced_by, k.source, k.missing_since, k.last_synced_at, k.synced_values, k.retires_on)
               from private.kept_models as k where k.id = m.id"""
        )
        db.execute("drop table private.kept_models")


@pytest.fixture
def catalogue(db: psycopg.Connection[dict[str, Any]]) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A catalogue of this test's own, in which a refresh holds the lease."""
    with db.transaction(force_rollback=True):
        db.execute("delete from private.job_leases where job = 'refresh'")
        db.execute(
            "insert into private.job_leases values ('refresh', gen_random_uuid(), now() + interval '1 minute', 7)"
        )
        yield db


@contextlib.contextmanager
def running_function(
    stack: Stack, name: str, changes: Mapping[str, str], folder: Path
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A function in a process of its own, with some variables changed; its URL and process."""
    port = free_ports()
    environ = {**os.environ, **stack.env, **changes, "PYTHONPATH": str(ROOT)}
    environ |= {"FUNCTION_TARGET": name, "FUNCTION_SOURCE": f"functions/{name}/main.py", "ALLOW_PRIVATE_NODES": "1"}
    command = [sys.executable, "-m", "uvicorn", "functions_framework.aio:app", "--port", str(port)]
    with (folder / f"{name}-{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--lifespan", "on", "--log-level", "warning"], cwd=ROOT, env=environ, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _answers(url), 30)
        yield url, process
    finally:
        process.kill()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False
