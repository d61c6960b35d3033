"""The HTTP routes of Auth; each handler runs in one transaction."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import psycopg
from psycopg_pool import AsyncConnectionPool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.auth.accounts import Connection
from local.auth.admin import Admin
from local.auth.errors import AuthError, error_response
from local.auth.links import Links
from local.auth.oauth import METADATA_PATHS, OAuthServer
from local.auth.sessions import Sessions
from local.auth.sign_in import SignIn
from local.rest.errors import ApiError
from local.tokens import Tokens

Handler = Callable[[Connection, Request, dict[str, Any]], Awaitable[Any]]
_WITHOUT_KEY = {
    ("GET", "/verify"),
    ("GET", "/authorize"),
    ("GET", "/oauth/authorize"),
    ("POST", "/oauth/token"),
    ("POST", "/oauth/clients/register"),
}
_PROVIDERS = ("apple", "azure", "bitbucket", "discord", "facebook", "figma", "github", "gitlab", "google", "keycloak")


class AuthApi:
    """Auth of one project. `on_link` receives (address, link, code) where Supabase would send a mail.

    `site_url` is the address of the page, on which users consent to OAuth apps.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        tokens: Tokens,
        url: str,
        site_url: str,
        on_link: Callable[[str, str, str], None],
    ) -> None:
        self._pool, self._tokens = pool, tokens
        sessions = Sessions(tokens, url)
        self._sign_in, self._links, self._admin = SignIn(sessions), Links(sessions, on_link), Admin(sessions)
        self._oauth = OAuthServer(sessions, site_url)

    def routes(self) -> list[Route]:
        """The routes below /auth/v1."""
        table: list[tuple[str, str, Handler]] = [
            ("POST", "/signup", self._sign_in.sign_up),
            ("POST", "/token", self._sign_in.token),
            ("GET", "/user", self._sign_in.user),
            ("PUT", "/user", self._sign_in.change_user),
            ("POST", "/logout", self._sign_in.logout),
            ("POST", "/otp", self._links.send),
            ("POST", "/magiclink", self._links.send),
            ("POST", "/recover", self._links.recover),
            ("POST", "/resend", self._links.resend),
            ("GET", "/reauthenticate", self._links.reauthenticate),
            ("GET", "/authorize", self._sign_in.authorize),
            ("POST", "/factors", self._sign_in.enroll),
            ("POST", "/invite", self._links.invite),
            ("POST", "/verify", self._links.verify),
            ("GET", "/verify", self._links.follow),
            ("POST", "/admin/generate_link", self._links.generate),
            ("POST", "/oauth/clients/register", self._oauth.register),
            ("GET", "/oauth/authorize", self._oauth.authorize),
            ("GET", "/oauth/authorizations/{authorization_id}", self._oauth.show),
            ("POST", "/oauth/authorizations/{authorization_id}/consent", self._oauth.decide),
            ("POST", "/oauth/token", self._oauth.token),
            ("GET", "/user/oauth/grants", self._oauth.list_grants),
            ("DELETE", "/user/oauth/grants", self._oauth.revoke),
            ("GET", "/admin/users", self._admin.list),
            ("POST", "/admin/users", self._admin.create),
            ("GET", "/admin/users/{user_id}", self._admin.get),
            ("PUT", "/admin/users/{user_id}", self._admin.change),
            ("DELETE", "/admin/users/{user_id}", self._admin.delete),
        ]
        fixed = [("/.well-known/jwks.json", self._jwks), ("/health", self._health), ("/settings", self._settings)]
        return [
            *(Route(f"/auth/v1{path}", self._handled(path, each), methods=[method]) for method, path, each in table),
            *(Route(f"/auth/v1{path}", each, methods=["GET"]) for path, each in fixed),
            *(Route(path, self._oauth.show_metadata, methods=["GET"]) for path in METADATA_PATHS),
        ]

    def _handled(self, path: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                if (request.method, path) not in _WITHOUT_KEY:
                    self._tokens.role_of(request.headers.get("apikey") or request.query_params.get("apikey"))
            except ApiError as error:  # the gateway rejects the key before Auth runs
                body = {"message": error.body["message"], "hint": error.body["hint"]}
                return JSONResponse(body, 401)
            try:
                result = await self._run(handler, request)
            except ClientDisconnect:
                return Response(status_code=400)  # the client has disconnected
            if isinstance(result, AuthError):
                return error_response(request, result)
            return result if isinstance(result, Response) else JSONResponse(result)

        return handle

    async def _run(self, handler: Handler, request: Request) -> Any:
        try:
            body = _read_body(request, await request.body())
            async with self._pool.connection(timeout=3) as connection, connection.transaction():
                return await handler(connection, request, body)
        except AuthError as error:
            return error
        except ApiError as error:
            return AuthError(403, "bad_jwt", f"invalid JWT: {error}")
        except psycopg.errors.UniqueViolation:
            return AuthError(422, "email_exists", "A user with this email address has already been registered")
        except (psycopg.DataError, UnicodeEncodeError) as error:
            return AuthError(400, "validation_failed", f"Invalid value: {error}")
        except psycopg.OperationalError as error:
            return AuthError(503, "unexpected_failure", f"No answer from the database: {error}")
        except psycopg.Error as error:
            return AuthError(500, "unexpected_failure", f"Database error: {error}")

    async def _jwks(self, _request: Request) -> Response:
        keys = {"keys": [self._tokens.keys.public_key]}
        return JSONResponse(keys, headers={"cache-control": "public, max-age=600"})

    async def _health(self, _request: Request) -> Response:
        description = "Parley's local replacement for Supabase Auth"
        return JSONResponse({"name": "Parley's local Auth", "version": "1", "description": description})

    async def _settings(self, _request: Request) -> Response:
        external = dict.fromkeys(_PROVIDERS, False) | {"email": True, "phone": False, "anonymous_users": True}
        switches = {"disable_signup": False, "mailer_autoconfirm": True, "phone_autoconfirm": False}
        return JSONResponse({"external": external, **switches, "sms_provider": "", "saml_enabled": False})


def _read_body(request: Request, raw: bytes) -> dict[str, Any]:
    """The fields of a body: JSON, or a form as OAuth clients send it. Raises AuthError for other text."""
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(raw.decode("utf-8", "replace")))
    try:
        value = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON")
    return value
