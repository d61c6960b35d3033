"""The health of a function."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.endpoint import answer, routes
from shared.health import healthy, ready
from tests.asgi import Caller, call
from tests.project import Project

pytestmark = pytest.mark.anyio
TABLE = routes({"GET /health": healthy, "GET /health/ready": ready})


async def _ask(path: str) -> Caller:
    return await call(lambda request: answer(request, TABLE), "GET", path)


async def test_health_touches_nothing(environ: Callable[..., None]) -> None:
    """It is 200 without a database, a key or a setting."""
    environ()
    assert (await _ask("/health")).status == 200


async def test_readiness_is_a_database_that_answers(project: Project) -> None:
    """One row is read as the service."""
    project.answers["/rest/v1/llm_models"] = (200, [{"id": 1}])
    got = await _ask("/health/ready")
    assert (got.status, got.json()) == (200, {"status": "ready"})
    assert project.asked[0].headers["apikey"] == "sb_secret_x"


@pytest.mark.parametrize(
    ("status", "text"), [(500, {}), (401, {}), (404, {"code": "PGRST205"}), (200, "<html>"), (400, {"message": "no"})]
)
async def test_anything_else_is_not_ready(project: Project, status: int, text: object) -> None:
    """Down, refused or misunderstood: 503, so that no traffic comes here."""
    project.answers["/rest/v1/llm_models"] = (status, text)
    got = await _ask("/health/ready")
    assert (got.status, got.json()["error"]["code"]) == (503, "database_unavailable")


async def test_a_function_that_is_not_configured_is_not_ready(environ: Callable[..., None]) -> None:
    """A missing variable takes the instance out of service instead of failing every request, and is named."""
    environ()
    got = await _ask("/health/ready")
    assert (got.status, got.json()["error"]["code"]) == (503, "database_unavailable")
    assert got.json()["error"]["message"] == "The environment variable SUPABASE_SERVICE_KEY is not set."
