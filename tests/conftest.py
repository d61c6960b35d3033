"""Fixtures for all tests: an event loop, an environment, and a Supabase project on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from local import demo_data
from shared.config import settings
from shared.http import close_sessions
from shared.variables import FIRST_NAMES, VARIABLES
from tests.fakes.openai import OpenAiHost, serving_models
from tests.fakes.providers import Upstream, serving_upstream
from tests.fakes.supabase import Project, serving_project
from tests.postgres_servers import VERSIONS, MissingServerError, PostgresServer, serving_postgres

_NAMES = (*VARIABLES, *FIRST_NAMES)

# Each run tries the same examples, so a change is blamed for its own faults only. `explore` looks for more.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", max_examples=5_000, deadline=None, derandomize=False)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for CI, where every server and a browser is installed."""
    parser.addoption(
        "--require-postgres", action="store_true", help="fail, not skip, where a version of PostgreSQL is missing"
    )
    parser.addoption("--require-chromium", action="store_true", help="fail, not skip, where the browser is missing")


@pytest.fixture(scope="session", params=VERSIONS, ids=str)
def postgres_servers(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """One server of each version, shared by all tests of it: each test makes a database with a name of its own."""
    try:
        with serving_postgres(request.param) as server:
            yield server
    except MissingServerError as missing:
        if request.config.getoption("--require-postgres"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """A scripted model server that speaks every provider's dialect."""
    with serving_upstream() as running:
        yield running


@pytest.fixture(scope="session")
def trading(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo market; no test writes to it."""
    path = tmp_path_factory.mktemp("trading") / "trading.duckdb"
    demo_data.provide(path)
    return path


@pytest.fixture
def anyio_backend() -> str:
    """The event loop we run on."""
    return "asyncio"


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Sets variables for this test alone; every other variable of ours is unset."""
    for name in _NAMES:
        monkeypatch.delenv(name, raising=False)

    def change(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    change()
    yield change
    settings.cache_clear()


@pytest.fixture
async def sessions(anyio_backend: str) -> AsyncIterator[None]:  # noqa: ARG001 - its event loop is the test's
    """Closes our HTTP sessions after the test."""
    yield
    await close_sessions()


@pytest.fixture
async def project(environ: Callable[..., None], sessions: None) -> AsyncIterator[Project]:  # noqa: ARG001 - order
    """A Supabase project on loopback; the environment names it."""
    async with serving_project() as running:
        environ(SUPABASE_URL=running.url, SUPABASE_ANON_KEY="sb_publishable_x", SUPABASE_SERVICE_KEY="sb_secret_x")
        yield running


@pytest.fixture
async def host(environ: Callable[..., None], sessions: None) -> AsyncIterator[OpenAiHost]:  # noqa: ARG001 - order
    """A model server on loopback; the environment names it as the provider openai and lets client nodes live there."""
    async with serving_models() as running:
        environ(OPENAI_BASE_URL=running.url, OPENAI_API_KEY="sk-ours", ALLOW_PRIVATE_NODES="1")
        yield running
