"""Who may start a refresh."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from starlette.requests import Request
from starlette.responses import Response

from functions.refresh import google_oidc
from functions.refresh.authorize import authorize, authorize_event
from functions.refresh.main import ROUTES, with_event_status
from shared import auth
from shared.endpoint import respond
from shared.errors import Forbidden, KeysUnavailable, NotFound, Unauthenticated
from tests.asgi import Caller, call, request_of
from tests.fakes.supabase import Project, signing_key

pytestmark = pytest.mark.anyio
SECRET = "c" * 32
AUDIENCE, EMAIL = "https://refresh.example", "cron@project.iam.gserviceaccount.com"


async def _request(authorization: str) -> str:
    return await authorize(request_of(Caller(), "POST", "/", {"Authorization": authorization}))


async def test_a_user_who_holds_the_secret_may(environ: Callable[..., None]) -> None:
    """The run's row has the trigger."""
    environ(CRON_SECRET=SECRET)
    assert await _request(f"Bearer {SECRET}") == "cron-secret"


@pytest.mark.parametrize(
    ("secret", "given"),
    [
        (SECRET, "Bearer " + "d" * 32),
        (SECRET, f"Bearer {SECRET}x"),
        (SECRET, f"Bearer {SECRET[:-1]}"),
        (SECRET, f"Basic {SECRET}"),
        (SECRET, SECRET),
        (SECRET, ""),
        (SECRET, "Bearer ccccé"),
        ("c" * 31, "Bearer " + "c" * 31),
        ("", "Bearer "),
        ("", "Bearer x"),
    ],
)
async def test_no_other_secret_is_accepted(environ: Callable[..., None], secret: str, given: str) -> None:
    """An unset or short secret is never accepted, even if the request sends it."""
    environ(CRON_SECRET=secret)
    with pytest.raises(Unauthenticated):
        await _request(given)


async def test_a_short_secret_is_in_the_log(environ: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    """The log line informs the operator that the secret is at fault, not the request."""
    environ(CRON_SECRET="c" * 31)
    with pytest.raises(Unauthenticated):
        await _request("Bearer " + "c" * 31)
    logged = capsys.readouterr().out
    assert "CRON_SECRET is too short; write at least 32 characters" in logged
    assert "ccc" not in logged


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/", "/refresh", "/api/llms/refresh"])
async def test_every_way_in_is_guarded(environ: Callable[..., None], method: str, path: str) -> None:
    """Without credentials every path is 401 before the body is read."""
    environ(CRON_SECRET=SECRET)
    got = await call(lambda request: respond(request, ROUTES), method, path, chunks=[b"{nonsense"])
    assert (got.status, got.taken) == (401, 0)


async def test_an_admin_may_and_another_person_may_not(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The access token must have the admin role in app_metadata; another user gets 403."""
    monkeypatch.setattr(auth, "verifier", auth.Verifier())
    assert await _request(f"Bearer {project.token(app_metadata={'role': 'admin'})}") == "admin"
    others: list[dict[str, Any]] = [{}, {"app_metadata": {"role": "user"}}, {"user_metadata": {"role": "admin"}}]
    for claims in others:
        with pytest.raises(Forbidden):
            await _request(f"Bearer {project.token(**claims)}")


@pytest.fixture
def google(project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Google with one signing key; makes tokens of its service accounts."""
    key = signing_key("RS256", "google-1")
    project.keys = [key.listed]
    monkeypatch.setattr(google_oidc, "keys", auth.SigningKeys(google_oidc.keys._address))  # noqa: SLF001 - with nothing fetched
    keys_url = f"{project.url}/auth/v1/.well-known/jwks.json"
    environ(CRON_OIDC_AUDIENCE=AUDIENCE, CRON_OIDC_EMAILS=f"other@x, {EMAIL}", CRON_OIDC_KEYS_URL=keys_url)

    def token(**changes: Any) -> str:
        now = int(time.time())
        usual = {"iss": "https://accounts.google.com", "aud": AUDIENCE, "email": EMAIL, "email_verified": True}
        claims = usual | {"iat": now, "exp": now + 600} | changes
        named = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(named, key.private, "RS256", {"kid": key.kid})

    return token


async def test_googles_scheduler_may(google: Callable[..., str]) -> None:
    """Its token is for the configured audience, from a configured service account."""
    assert await _request(f"Bearer {google()}") == "google-oidc"
    assert await _request(f"Bearer {google(iss='accounts.google.com')}") == "google-oidc"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://another.example"},
        {"aud": [AUDIENCE, "https://another.example"]},
        {"email": "stranger@project.iam.gserviceaccount.com"},
        {"email": None},
        {"email_verified": False},
        {"email_verified": "true"},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iss": "https://accounts.google.com.evil.example"},
    ],
    ids=str,
)
async def test_other_tokens_of_googles_may_not(google: Callable[..., str], changes: dict[str, Any]) -> None:
    """A token of another Google account or for another audience is refused."""
    with pytest.raises(Unauthenticated):
        await _request(f"Bearer {google(**changes)}")


async def test_a_forged_google_token_is_refused(google: Callable[..., str], project: Project) -> None:
    """A token with another key, without a signature, or with the public key as a secret is refused."""
    claims = jwt.decode(google(), options={"verify_signature": False})
    stranger = signing_key("RS256", "stranger")
    listed = project.keys[0]
    for forged in (
        jwt.encode(claims, stranger.private, "RS256", {"kid": "google-1"}),
        jwt.encode(claims, "", "none", {"kid": "google-1"}),
        jwt.encode(claims, listed["n"], "HS256", {"kid": "google-1"}),
        jwt.encode(claims, stranger.private, "RS256"),
    ):
        with pytest.raises(Unauthenticated):
            await _request(f"Bearer {forged}")


@pytest.mark.parametrize("variable", ["CRON_OIDC_AUDIENCE", "CRON_OIDC_EMAILS"])
async def test_without_settings_google_tokens_are_refused(
    google: Callable[..., str], environ: Callable[..., None], variable: str
) -> None:
    """Both variables must be set."""
    environ(**{variable: ""})
    with pytest.raises(Unauthenticated):
        await _request(f"Bearer {google()}")


async def test_without_googles_keys_a_token_cannot_be_verified(google: Callable[..., str], project: Project) -> None:
    """The response is 503, so that the scheduler retries."""
    project.keys_status = 500
    with pytest.raises(KeysUnavailable):
        await _request(f"Bearer {google()}")


@pytest.mark.parametrize(
    ("is_lambda", "headers", "is_admitted"),
    [
        (True, {"x-amzn-request-context": "null"}, True),
        (False, {"x-amzn-request-context": "null"}, False),
        (True, {"x-amzn-request-context": '{"http": {"method": "POST"}}'}, False),
        (True, {}, False),
        (True, {"x-amzn-request-context": ""}, False),
    ],
)
async def test_only_lambdas_own_event_is_one(
    environ: Callable[..., None], *, is_lambda: bool, headers: dict[str, str], is_admitted: bool
) -> None:
    """The header counts only inside Lambda, whose adapter replaces what a caller sent; else there is nothing here."""
    environ(AWS_LAMBDA_FUNCTION_NAME="refresh" if is_lambda else "", CRON_SECRET=SECRET)
    request = request_of(Caller(), "POST", "/_events", headers)
    if is_admitted:
        assert authorize_event(request) == "aws-event"
        return
    with pytest.raises(NotFound):
        authorize_event(request)
    got = await call(lambda request: respond(request, ROUTES), "POST", "/_events", headers)
    assert got.status == 404


_URLS = {"x-amzn-request-context": '{"http": {"method": "POST"}}'}


@pytest.mark.parametrize(
    ("method", "path", "headers", "is_lambda", "status"),
    [
        # events: whatever is wrong with them or us, the invocation must fail
        ("POST", "/_events", {"x-amzn-request-context": "null"}, True, 599),
        ("POST", "/_events", {}, True, 599),
        ("POST", "/_events", {"x-amzn-request-context": ""}, True, 599),
        ("POST", "/_events", {"x-amzn-request-context": "{}"}, True, 599),
        ("POST", "/_events", {"x-amzn-request-context": "[" * 100_000}, True, 599),
        ("POST", "/_events/", {"x-amzn-request-context": "None"}, True, 599),
        # a URL's callers: what they always got
        ("POST", "/_events", _URLS, True, 404),
        ("POST", "/", _URLS, True, 401),
        ("GET", "/health/ready", _URLS, True, 503),
        ("GET", "/health/ready", {}, True, 503),
        ("POST", "/_events", {"x-amzn-request-context": "null"}, False, 404),
    ],
)
async def test_an_event_that_is_not_done_has_a_status_of_its_own(
    environ: Callable[..., None], *, method: str, path: str, headers: dict[str, str], is_lambda: bool, status: int
) -> None:
    """A failed or unrecognised event gets 599, which HTTP requests never get."""
    environ(AWS_LAMBDA_FUNCTION_NAME="refresh" if is_lambda else "", CRON_SECRET=SECRET)

    async def function(request: Request) -> Response:
        return with_event_status(request, await respond(request, ROUTES))

    got = await call(function, method, path, headers)
    assert (got.status, got.json()["error"]["request_id"]) == (status, got.headers["x-request-id"])
