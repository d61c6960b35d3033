"""Opens and refreshes sessions, and checks the rights of a request."""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

from starlette.requests import Request

from local.auth import accounts, grants
from local.auth.accounts import Account, Connection
from local.auth.errors import AuthError
from local.tokens import Tokens, bearer

_TOKEN_SECONDS = 3600
_ADDRESS = re.compile(r"[^@\s\x00]+@[^@\s\x00]+\.[^@\s\x00]+")
_MIN_PASSWORD = 6
_CLAIMS = ("aud", "role", "email", "phone", "app_metadata", "user_metadata", "is_anonymous")


class Sessions:
    """Issues and verifies the tokens of the project at `url`."""

    def __init__(self, tokens: Tokens, url: str) -> None:
        self.tokens, self.url = tokens, url

    async def open_session(
        self, connection: Connection, user_id: str, method: str, client_id: str | None = None
    ) -> dict[str, Any]:
        """The session of a new sign-in by `method`, of an OAuth app if one is named.

        Raises AuthError for a banned user.
        """
        account = await require_account(connection, user_id)
        if account.is_banned:
            raise AuthError(400, "user_banned", "User is banned")
        session_id, refresh_token = await grants.open_session(connection, user_id, client_id)
        account = await require_account(connection, user_id)  # again, for the new last_sign_in_at
        return self._session_body(account, session_id, refresh_token, method, client_id)

    async def refresh(
        self, connection: Connection, token: str, client_id: str | None = None
    ) -> dict[str, Any] | AuthError:
        """The next tokens of a session of the user or of this OAuth app.

        Returns an error instead of raising it, so that the caller commits.
        """
        used = await grants.use_refresh_token(connection, token)
        if used is None or used.client_id != client_id:
            return AuthError(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
        if not used.is_usable:
            await grants.close_sessions(connection, used.user_id, used.session_id, "local")
            return AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
        account = await require_account(connection, used.user_id)
        if account.is_banned:
            return AuthError(400, "user_banned", "User is banned")
        next_token = used.successor
        if next_token is None:
            next_token = await grants.new_refresh_token(connection, used.user_id, used.session_id, token)
        return self._session_body(account, used.session_id, next_token, "password", client_id)

    def _session_body(
        self, account: Account, session_id: str, refresh_token: str, method: str, client_id: str | None
    ) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": f"{self.url}/auth/v1",
            "sub": account.user["id"],
            "exp": now + _TOKEN_SECONDS,
            "iat": now,
            "aal": "aal1",
            "amr": [{"method": method, "timestamp": now}],
            "session_id": session_id,
        } | {name: account.user[name] for name in _CLAIMS}
        if client_id is not None:
            claims["client_id"] = client_id
        return {
            "access_token": self.tokens.sign(claims),
            "token_type": "bearer",
            "expires_in": _TOKEN_SECONDS,
            "expires_at": now + _TOKEN_SECONDS,
            "refresh_token": refresh_token,
            "user": account.user,
        }

    async def caller(self, connection: Connection, request: Request) -> tuple[Account, str | None]:
        """The signed-in user and the session id. Raises AuthError, or ApiError for an invalid token."""
        token = bearer(request.headers)
        if not token or token.startswith("sb_"):
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        claims = self.tokens.verify(token)
        if "sub" not in claims:
            raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
        session_id = claims.get("session_id")
        try:
            account = await require_account(connection, str(claims["sub"]))
        except AuthError:
            raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist") from None
        if session_id and not await grants.has_session(connection, session_id):
            raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
        return account, session_id

    async def owner(self, connection: Connection, request: Request) -> tuple[Account, str | None]:
        """As `caller`, for what an app may not do: changes of the account, and consents. Raises AuthError for apps."""
        found = await self.caller(connection, request)
        if self.tokens.verify(bearer(request.headers)).get("client_id"):
            raise AuthError(403, "not_authorized", "An OAuth app may not do this")
        return found

    def require_admin(self, request: Request) -> None:
        """Raises AuthError unless the request carries a service key."""
        token, key = bearer(request.headers), request.headers.get("apikey", "")
        if self.tokens.is_secret_key(key) and (not token or token.startswith("sb_")):
            return
        if not token:
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        if token.startswith("sb_") or self.tokens.verify(token).get("role") != "service_role":
            raise AuthError(403, "not_admin", "User not allowed")


async def require_account(connection: Connection, user_id: str) -> Account:
    """The user with this id. Raises AuthError 404 when there is none."""
    try:
        account = await accounts.find(connection, user_id=str(uuid.UUID(user_id)))
    except ValueError:
        account = None
    if account is None:
        raise AuthError(404, "user_not_found", "User not found")
    return account


def read_email(body: dict[str, Any]) -> str:
    """The e-mail address of a request in lower case. Raises AuthError when it is invalid."""
    given = body.get("email")
    email = given.strip().lower() if isinstance(given, str) else ""
    if not _ADDRESS.fullmatch(email):
        raise AuthError(400, "validation_failed", "Unable to validate email address: invalid format")
    return email


def read_password(body: dict[str, Any]) -> str | None:
    """The new password of a request; None without one. Raises AuthError for a weak one."""
    text = body.get("password")
    if text is None or text == "":
        return None
    if not isinstance(text, str) or len(text) < _MIN_PASSWORD:
        message = f"Password should be at least {_MIN_PASSWORD} characters."
        raise AuthError(422, "weak_password", message, weak_password={"reasons": ["length"]})
    return text


def read_metadata(body: dict[str, Any], name: str) -> dict[str, Any]:
    """A JSON object of a request; empty when missing. Raises AuthError for any other value."""
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise AuthError(400, "validation_failed", f"{name} must be an object")
    return value
