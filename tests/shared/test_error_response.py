"""Errors as responses."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import Response

from shared.endpoint import respond, routes
from shared.errors import (
    BudgetExceeded,
    DatabaseUnavailable,
    Forbidden,
    InvalidRequest,
    ParleyError,
    QuotaExceeded,
    Unauthenticated,
)
from tests.asgi import Caller, call

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("environ")]


async def _crash(_: Request) -> Response:
    raise RuntimeError("secret words")


async def _response_to(error: ParleyError, **headers: str) -> Caller:
    async def fail(_: Request) -> Response:
        raise error

    return await call(lambda request: respond(request, routes({"GET /": fail})), headers=headers)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequest("no", param="model"), "invalid_request_error"),
        (Unauthenticated("no"), "authentication_error"),
        (BudgetExceeded("no"), "insufficient_quota"),
        (Forbidden("no"), "permission_error"),
        (QuotaExceeded("no", metadata={"limit": 5}), "rate_limit_error"),
        (DatabaseUnavailable("no"), "server_error"),
    ],
    ids=lambda value: getattr(value, "code", None),
)
async def test_errors_have_openais_shape(error: ParleyError, kind: str) -> None:
    """Status, type and code let OpenAI's SDKs raise the right exception."""
    got = await _response_to(error)
    assert got.status == error.status
    assert got.headers["content-type"] == "application/json"
    assert got.json() == {
        "error": {
            "message": "no",
            "type": kind,
            "code": error.code,
            "param": error.param,
            "request_id": got.headers["x-request-id"],
            "metadata": error.metadata,
        }
    }


@pytest.mark.parametrize(("seconds", "header"), [(0, "1"), (0.2, "1"), (2, "2"), (2.1, "3"), (None, None)])
async def test_retry_after_is_in_whole_seconds(seconds: float | None, header: str | None) -> None:
    """Retry-After is rounded up and never zero; without a wait there is no header."""
    got = await _response_to(DatabaseUnavailable("no", retry_after_seconds=seconds))
    assert got.headers.get("retry-after") == header


async def test_only_a_401_has_www_authenticate() -> None:
    """A 401 has WWW-Authenticate, other errors do not."""
    assert (await _response_to(Unauthenticated("no"))).headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert "www-authenticate" not in (await _response_to(Forbidden("no"))).headers


@pytest.mark.parametrize("error", [QuotaExceeded("no", retry_after_seconds=60), BudgetExceeded("no")])
async def test_quota_errors_tell_sdks_not_to_retry(error: ParleyError) -> None:
    """OpenAI's SDKs retry every 429 without x-should-retry."""
    assert (await _response_to(error)).headers["x-should-retry"] == "false"


async def test_an_errors_own_headers_are_sent() -> None:
    """The headers of an error are in its response."""
    assert (await _response_to(Forbidden("no", headers={"X-Cache": "MISS"}))).headers["x-cache"] == "MISS"


async def test_a_crash_is_json_without_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    """The client gets internal_error, the log the class and place; neither has the message."""
    got = await call(lambda request: respond(request, routes({"GET /crash": _crash})), path="/crash")
    assert (got.status, got.json()["error"]["code"]) == (500, "internal_error")
    logged = capsys.readouterr().out
    assert "RuntimeError at test_error_response.py:" in logged
    assert "secret" not in logged + got.body.decode()
