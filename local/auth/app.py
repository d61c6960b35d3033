"""The HTTP side: Auth's paths, each handler in one transaction."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import psycopg
from psycopg_pool import AsyncConnectionPool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from local.auth import accounts
from local.auth.accounts import Account, Connection
from local.rest.errors import ApiError
from local.tokens import Tokens, bearer

_TOKEN_SECONDS = 3600
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_MIN_PASSWORD = 6

Handler = Callable[[Connection, Request, dict[str, Any]], Awaitable[Any]]


class AuthError(Exception):
    """An error answer of Auth."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class AuthApi:
    """Serves one project's people; `on_link` is called with (address, link) where a mail would be sent."""

    def __init__(
        self, pool: AsyncConnectionPool[Any], tokens: Tokens, url: str, on_link: Callable[[str, str], None]
    ) -> None:
        self._pool, self._tokens, self._url, self._on_link = pool, tokens, url, on_link

    def routes(self) -> list[Route]:
        """What to serve below /auth/v1."""
        table: list[tuple[str, str, Handler]] = [
            ("POST", "/signup", self._sign_up),
            ("POST", "/token", self._token),
            ("POST", "/otp", self._send_link),
            ("POST", "/magiclink", self._send_link),
            ("POST", "/verify", self._verify),
            ("GET", "/verify", self._follow_link),
            ("GET", "/user", self._user),
            ("PUT", "/user", self._change_user),
            ("POST", "/logout", self._logout),
            ("GET", "/admin/users", self._admin_list),
            ("POST", "/admin/users", self._admin_create),
            ("GET", "/admin/users/{user_id}", self._admin_get),
            ("PUT", "/admin/users/{user_id}", self._admin_change),
            ("DELETE", "/admin/users/{user_id}", self._admin_delete),
            ("POST", "/admin/generate_link", self._admin_link),
            ("GET", "/.well-known/jwks.json", self._jwks),
            ("GET", "/health", self._health),
            ("GET", "/settings", self._settings),
        ]
        return [Route(f"/auth/v1{path}", self._handled(handler), methods=[method]) for method, path, handler in table]

    def _handled(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                body = _read_json(await request.body())
                async with self._pool.connection(timeout=3) as connection, connection.transaction():
                    answer = await handler(connection, request, body)
            except AuthError as error:
                return _error_response(request, error)
            except ApiError as error:
                return _error_response(request, AuthError(403, "bad_jwt", f"invalid JWT: {error}"))
            except psycopg.errors.UniqueViolation:
                text = "A user with this email address has already been registered"
                return _error_response(request, AuthError(422, "email_exists", text))
            except psycopg.Error as error:
                return _error_response(request, AuthError(500, "unexpected_failure", f"Database error: {error}"))
            return answer if isinstance(answer, Response) else JSONResponse(answer)

        return handle

    async def _session(
        self,
        connection: Connection,
        user_id: str,
        method: str,
        session_id: str | None = None,
        parent: str | None = None,
    ) -> dict[str, Any]:
        session_id, refresh_token = await accounts.open_session(connection, user_id, session_id, parent)
        user = (await _known(connection, user_id)).user
        now = int(time.time())
        claims = {
            "iss": f"{self._url}/auth/v1",
            "sub": user_id,
            "exp": now + _TOKEN_SECONDS,
            "iat": now,
            "aal": "aal1",
            "amr": [{"method": method, "timestamp": now}],
            "session_id": session_id,
        } | {
            name: user[name]
            for name in ("aud", "role", "email", "phone", "app_metadata", "user_metadata", "is_anonymous")
        }
        return {
            "access_token": self._tokens.sign(claims),
            "token_type": "bearer",
            "expires_in": _TOKEN_SECONDS,
            "expires_at": now + _TOKEN_SECONDS,
            "refresh_token": refresh_token,
            "user": user,
        }

    async def _caller(self, connection: Connection, request: Request) -> tuple[Account, str | None]:
        token = bearer(request.headers)
        if not token or token.startswith("sb_"):
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        claims = self._tokens.verify(token)
        session_id = claims.get("session_id")
        if session_id and not await accounts.has_session(connection, session_id):
            raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
        return await _known(connection, str(claims.get("sub", ""))), session_id

    def _require_admin(self, request: Request) -> None:
        token, key = bearer(request.headers), request.headers.get("apikey", "")
        if self._tokens.is_secret_key(key) and (not token or token.startswith("sb_")):
            return
        if not token:
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        if token.startswith("sb_") or self._tokens.verify(token).get("role") != "service_role":
            raise AuthError(403, "not_admin", "User not allowed")

    async def _sign_up(self, connection: Connection, _request: Request, body: dict[str, Any]) -> Any:
        metadata = body.get("data") or {}
        if not body.get("email"):
            user_id = await accounts.create(connection, user_metadata=metadata)
            return await self._session(connection, user_id, "anonymous")
        email, password = _address(body), body.get("password")
        if not password:
            raise AuthError(400, "validation_failed", "Signup requires a valid password")
        _check_password(password)
        if await accounts.find(connection, email=email):
            raise AuthError(422, "user_already_exists", "User already registered")
        user_id = await accounts.create(connection, email=email, password=password, user_metadata=metadata)
        return await self._session(connection, user_id, "password")

    async def _token(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        grant = request.query_params.get("grant_type")
        if grant == "password":
            account = await accounts.find(connection, email=str(body.get("email")))
            if account is None or not account.has_password(str(body.get("password", ""))):
                raise AuthError(400, "invalid_credentials", "Invalid login credentials")
            if account.user.get("banned_until", "") > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()):
                raise AuthError(400, "user_banned", "User is banned")
            return await self._session(connection, account.user["id"], "password")
        if grant == "refresh_token":
            token = str(body.get("refresh_token"))
            spent = await accounts.spend_refresh_token(connection, token)
            if spent is None:
                raise AuthError(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
            user_id, session_id, is_usable = spent
            if not is_usable:
                raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
            return await self._session(connection, user_id, "password", session_id, token)
        raise AuthError(400, "unsupported_grant_type", "unsupported_grant_type")

    async def _send_link(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        email = _address(body)
        account = await accounts.find(connection, email=email)
        if account is None and not body.get("create_user", True):
            raise AuthError(422, "otp_disabled", "Signups not allowed for otp")
        user_id = account.user["id"] if account else await self._unconfirmed(connection, email, body.get("data"))
        link = await self._link(connection, user_id, email, "magiclink", request.query_params.get("redirect_to"))
        self._on_link(email, link["action_link"])
        return {}

    async def _unconfirmed(self, connection: Connection, email: str, metadata: dict[str, Any] | None) -> str:
        return await accounts.create(connection, email=email, user_metadata=metadata, is_confirmed=False)

    async def _link(
        self, connection: Connection, user_id: str, email: str, kind: str, redirect: str | None
    ) -> dict[str, Any]:
        code, hashed = await accounts.new_link(connection, user_id, email)
        target = redirect or self._url
        query = urlencode({"token": hashed, "type": kind, "redirect_to": target})
        return {
            "action_link": f"{self._url}/auth/v1/verify?{query}",
            "email_otp": code,
            "hashed_token": hashed,
            "verification_type": kind,
            "redirect_to": target,
        }

    async def _verify(self, connection: Connection, _request: Request, body: dict[str, Any]) -> Any:
        hashed = body.get("token_hash") or accounts.link_hash(str(body.get("email", "")), str(body.get("token", "")))
        return await self._spent(connection, str(hashed))

    async def _spent(self, connection: Connection, hashed: str) -> dict[str, Any]:
        user_id = await accounts.spend_link(connection, hashed)
        if user_id is None:
            raise AuthError(403, "otp_expired", "Email link is invalid or has expired")
        return await self._session(connection, user_id, "otp")

    async def _follow_link(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        asked = request.query_params
        session = await self._spent(connection, asked.get("token_hash") or asked.get("token", ""))
        names = ("access_token", "expires_at", "expires_in", "refresh_token", "token_type")
        fragment = urlencode({name: session[name] for name in names} | {"type": asked.get("type", "magiclink")})
        return RedirectResponse(f"{asked.get('redirect_to') or self._url}#{fragment}", 303)

    async def _user(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        account, _ = await self._caller(connection, request)
        return account.user

    async def _change_user(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        account, _ = await self._caller(connection, request)
        if password := body.get("password"):
            _check_password(password)
            if account.has_password(password):
                text = "New password should be different from the old password."
                raise AuthError(422, "same_password", text)
        wanted = {"user_metadata": body.get("data"), "password": password, "email": body.get("email")}
        await accounts.change(connection, account.user["id"], wanted)
        return (await _known(connection, account.user["id"])).user

    async def _logout(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        account, session_id = await self._caller(connection, request)
        scope = request.query_params.get("scope", "global")
        await accounts.close_sessions(connection, account.user["id"], session_id, scope)
        return Response(status_code=204)

    async def _admin_list(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        self._require_admin(request)
        number, size = (_positive(request.query_params.get(n), d) for n, d in (("page", 1), ("per_page", 50)))
        return {"users": await accounts.page(connection, number, size), "aud": "authenticated"}

    async def _admin_create(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        self._require_admin(request)
        if body.get("password"):
            _check_password(body["password"])
        user_id = await accounts.create(
            connection,
            email=_address(body),
            password=body.get("password"),
            user_metadata=body.get("user_metadata"),
            app_metadata=body.get("app_metadata"),
            is_confirmed=bool(body.get("email_confirm")),
            user_id=body.get("id"),
        )
        return (await _known(connection, user_id)).user

    async def _admin_get(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        self._require_admin(request)
        return (await _known(connection, request.path_params["user_id"])).user

    async def _admin_change(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        self._require_admin(request)
        user_id = (await _known(connection, request.path_params["user_id"])).user["id"]
        await accounts.change(connection, user_id, body)
        return (await _known(connection, user_id)).user

    async def _admin_delete(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        self._require_admin(request)
        account = await _known(connection, request.path_params["user_id"])
        await accounts.delete(connection, account.user["id"])
        return {}

    async def _admin_link(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        self._require_admin(request)
        email, kind = _address(body), str(body.get("type", "magiclink"))
        account = await accounts.find(connection, email=email)
        user_id = account.user["id"] if account else await self._unconfirmed(connection, email, body.get("data"))
        link = await self._link(connection, user_id, email, kind, body.get("redirect_to"))
        return (await _known(connection, user_id)).user | link

    async def _jwks(self, *_: Any) -> Any:
        keys = {"keys": [self._tokens.keys.public_key]}
        return JSONResponse(keys, headers={"cache-control": "public, max-age=600"})

    async def _health(self, *_: Any) -> Any:
        return {"name": "Parley's stand-in for Supabase Auth", "version": "1"}

    async def _settings(self, *_: Any) -> Any:
        external = {"email": True, "anonymous_users": True}
        return {"external": external, "disable_signup": False, "mailer_autoconfirm": True}


def _read_json(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw) if raw else {}
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise AuthError(400, "bad_json", "Could not parse request body as JSON")
    return value


def _address(body: dict[str, Any]) -> str:
    email = str(body.get("email") or "").strip().lower()
    if not _ADDRESS.fullmatch(email):
        raise AuthError(400, "validation_failed", "Unable to validate email address: invalid format")
    return email


def _check_password(password: Any) -> None:
    if not isinstance(password, str) or len(password) < _MIN_PASSWORD:
        raise AuthError(422, "weak_password", f"Password should be at least {_MIN_PASSWORD} characters.")


def _positive(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() and 0 < int(text) < 10_000 else default


async def _known(connection: Connection, user_id: str) -> Account:
    try:
        account = await accounts.find(connection, user_id=str(uuid.UUID(user_id)))
    except ValueError:
        account = None
    if account is None:
        raise AuthError(404, "user_not_found", "User not found")
    return account


def _error_response(request: Request, error: AuthError) -> Response:
    """In the shape of the API version that the client speaks."""
    headers = {"x-sb-error-code": error.code}
    if request.headers.get("x-supabase-api-version", "") >= "2024-01-01":
        return JSONResponse({"code": error.code, "message": error.message}, error.status, headers)
    body = {"code": error.status, "error_code": error.code, "msg": error.message}
    return JSONResponse(body, error.status, headers)
