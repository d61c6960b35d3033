"""One PostgreSQL and one API with sample tables for all tests of the embedded project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local import postgres
from tests.local.servers import Api, Server, running_api, running_postgres

_SAMPLES = [Path(__file__).with_name(name) for name in ("sample.sql", "projects.sql")]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A running PostgreSQL; no test stops it."""
    with running_postgres() as running:
        yield running


@pytest.fixture(scope="session")
def api(server: Server) -> Iterator[Api]:
    """The API over the tables of sample.sql and projects.sql; tests restore the rows that they change."""
    postgres.prepare_database(server.port, "sample")
    for sample in _SAMPLES:
        server.query(sample.read_text(), "sample", "postgres")
    with running_api(server, "sample") as running:
        yield running


@pytest.fixture(scope="session")
def http(api: Api) -> Iterator[httpx.Client]:
    """An HTTP client of a visitor."""
    with httpx.Client(base_url=api.url, headers=api.headers(), timeout=10) as client:
        yield client
