"""The health routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared import ledger_calls
from shared.config import settings
from shared.endpoint import respond, routes
from shared.health import healthy, ready, service_ready
from tests.asgi import Caller, call
from tests.fakes.supabase import Project

pytestmark = pytest.mark.anyio
TABLE = routes({"GET /health": healthy, "GET /health/ready": ready, "GET /service": service_ready})


async def _ask(path: str) -> Caller:
    return await call(lambda request: respond(request, TABLE), "GET", path)


async def test_health_checks_nothing(environ: Callable[..., None]) -> None:
    """It is 200 without a database, a key or a setting."""
    environ()
    assert (await _ask("/health")).status == 200


async def test_ready_reads_one_row(project: Project) -> None:
    """The row is read with the service key."""
    project.answers["/rest/v1/llm_models"] = (200, [{"id": 1}])
    got = await _ask("/health/ready")
    assert (got.status, got.json()) == (200, {"status": "ready"})
    assert project.asked[0].headers["apikey"] == "sb_secret_x"


@pytest.mark.parametrize(
    ("status", "text"), [(500, {}), (401, {}), (404, {"code": "PGRST205"}), (200, "<html>"), (400, {"message": "no"})]
)
async def test_a_failing_database_is_not_ready(project: Project, status: int, text: object) -> None:
    """An unreachable, refusing or malformed database is 503, so that the instance gets no traffic."""
    project.answers["/rest/v1/llm_models"] = (status, text)
    got = await _ask("/health/ready")
    assert (got.status, got.json()["error"]["code"]) == (503, "database_unavailable")


async def test_a_function_that_is_not_configured_is_not_ready(environ: Callable[..., None]) -> None:
    """A missing variable is named in a 503, instead of failing every request."""
    environ()
    error = (await _not_ready())["error"]
    assert error["message"].startswith(
        "SUPABASE_URL is not set; write https://<project>.supabase.co. SUPABASE_ANON_KEY is"
    )
    assert error["metadata"]["variables"] == ["SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_KEY"]


async def test_a_wrong_variable_is_named_without_its_value(project: Project, environ: Callable[..., None]) -> None:
    """The name is the one that is set; the database is not read."""
    environ(MATCHA_API_KEY="hush-hush", LEXYBRAIN_DAILY_COST_CAP="hush")
    error = (await _not_ready())["error"]
    assert error["metadata"]["variables"] == ["MATCHA_BASE_URL", "MATCHA_MISSION_ID", "LEXYBRAIN_DAILY_COST_CAP"]
    assert "hush" not in error["message"]
    assert project.asked == []


async def test_second_names_are_ready(project: Project, environ: Callable[..., None]) -> None:
    """Supabase's own names of variables are enough."""
    project.answers["/rest/v1/llm_models"] = (200, [])
    environ(SUPABASE_URL="", SUPABASE_ANON_KEY="", SUPABASE_SERVICE_KEY="")
    environ(NEXT_PUBLIC_SUPABASE_URL=project.url, SUPABASE_PUBLISHABLE_KEY="sb_publishable_y")
    environ(SUPABASE_SERVICE_ROLE_KEY="sb_secret_y")
    assert (await _ask("/health/ready")).status == 200
    assert project.asked[0].headers["apikey"] == "sb_secret_y"


async def test_a_wrong_secrets_source_is_named(environ: Callable[..., None]) -> None:
    """It is a 503, like every other failure."""
    environ(SECRETS_SOURCE="vault:/x/")
    assert "SECRETS_SOURCE" in (await _not_ready())["error"]["message"]


async def test_a_chat_that_connects_itself_needs_no_service_key(
    project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks PostgreSQL, and names the variables that are missing on this way."""
    monkeypatch.setattr(ledger_calls, "_address", lambda: settings().ledger_url)
    environ(SUPABASE_SERVICE_KEY="", LEDGER_DATABASE_URL="postgresql://parley_ledger@127.0.0.1:9/postgres")
    assert (await _not_ready())["error"]["metadata"] == {}
    environ(LEDGER_DATABASE_URL="postgresql://127.0.0.1:9/postgres")
    assert (await _not_ready())["error"]["metadata"] == {"variables": ["LEDGER_DATABASE_URL"]}
    assert project.asked == []


async def _not_ready() -> Any:
    got = await _ask("/health/ready")
    assert (got.status, got.json()["error"]["code"]) == (503, "database_unavailable")
    return got.json()


async def test_a_function_of_the_service_alone_needs_no_publishable_key(
    project: Project, environ: Callable[..., None]
) -> None:
    """Refresh is ready without the key that only users' requests need."""
    project.answers["/rest/v1/llm_models"] = (200, [{"id": 1}])
    environ(SUPABASE_ANON_KEY="")
    assert (await _ask("/service")).status == 200
    assert "SUPABASE_ANON_KEY" in (await _not_ready())["error"]["message"]
