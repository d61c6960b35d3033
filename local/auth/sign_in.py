"""Sign-up, sign-in, sign-out and the account of the signed-in user."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from local.auth import accounts, grants, pkce
from local.auth.accounts import Connection
from local.auth.errors import AuthError
from local.auth.links import refuse_phone
from local.auth.sessions import Sessions, read_email, read_metadata, read_password, require_account

_SCOPES = {"global", "local", "others"}


class SignIn:
    """Handlers of sign-in and of the own account."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def sign_up(self, connection: Connection, _request: Request, body: dict[str, Any]) -> Any:
        """Creates a confirmed account; without an address it is an anonymous one."""
        refuse_phone(body)
        data = read_metadata(body, "data")
        if not body.get("email"):
            user_id = await accounts.create(connection, user_metadata=data)
            return await self._sessions.open_session(connection, user_id, "anonymous")
        email, secret = read_email(body), read_password(body)
        if secret is None:
            raise AuthError(400, "validation_failed", "Signup requires a valid password")
        if await accounts.find(connection, email=email):
            raise AuthError(422, "user_already_exists", "User already registered")
        user_id = str(uuid.uuid4())
        data |= {"sub": user_id, "email": email, "email_verified": True, "phone_verified": False}
        await accounts.create(connection, email=email, password=secret, user_metadata=data, user_id=user_id)
        return await self._sessions.open_session(connection, user_id, "password")

    async def token(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """A session for a password or the code of a link, or the next tokens for a refresh token."""
        grant = request.query_params.get("grant_type")
        refuse_phone(body)
        if grant == "password":
            return await self._by_password(connection, body)
        if grant == "refresh_token":
            return await self._sessions.refresh(connection, str(body.get("refresh_token")))
        if grant == "pkce":
            code, verifier = str(body.get("auth_code") or ""), str(body.get("code_verifier") or "")
            return await self._sessions.open_session(connection, await pkce.exchange(connection, code, verifier), "otp")
        raise AuthError(400, "validation_failed", "unsupported_grant_type")

    async def _by_password(self, connection: Connection, body: dict[str, Any]) -> dict[str, Any]:
        account = await accounts.find(connection, email=str(body.get("email")))
        if account is None or not account.has_password(str(body.get("password", ""))):
            raise AuthError(400, "invalid_credentials", "Invalid login credentials")
        if "confirmed_at" not in account.user:
            raise AuthError(400, "email_not_confirmed", "Email not confirmed")
        return await self._sessions.open_session(connection, account.user["id"], "password")

    async def user(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """The signed-in user."""
        account, _ = await self._sessions.caller(connection, request)
        return account.user

    async def change_user(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """The signed-in user after a change; a new address is confirmed at once."""
        account, _ = await self._sessions.owner(connection, request)
        secret = read_password(body)
        if secret and account.has_password(secret):
            raise AuthError(422, "same_password", "New password should be different from the old password.")
        email = read_email(body) if body.get("email") else None
        changes = {"user_metadata": read_metadata(body, "data"), "password": secret, "email": email}
        await accounts.change(connection, account.user["id"], changes)
        return (await require_account(connection, account.user["id"])).user

    async def authorize(self, _connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """Refuses sign-in at another provider."""
        name = request.query_params.get("provider", "")
        raise AuthError(400, "validation_failed", f"Unsupported provider: {name} is not enabled in this local Auth")

    async def enroll(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """Refuses a second factor."""
        await self._sessions.owner(connection, request)
        raise AuthError(422, "mfa_totp_enroll_not_enabled", "MFA enroll is disabled for TOTP")

    async def logout(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """Ends the sessions of a scope; an app ends its own only."""
        scope = request.query_params.get("scope", "global")
        known = self._sessions.caller if scope == "local" else self._sessions.owner
        account, session_id = await known(connection, request)
        if scope not in _SCOPES:
            raise AuthError(400, "validation_failed", f"Unsupported logout scope {scope}")
        await grants.close_sessions(connection, account.user["id"], session_id, scope)
        return Response(status_code=204)
