"""One-time links; a callback receives them where Supabase would send a mail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse

from local.auth import accounts, grants
from local.auth.accounts import Connection
from local.auth.errors import AuthError
from local.auth.sessions import Sessions, read_email, read_metadata, read_password, require_account

_KINDS = {"magiclink", "signup", "invite", "recovery"}
_SESSION = ("access_token", "expires_at", "expires_in", "refresh_token", "token_type")


class Links:
    """Handlers of links; `on_link` receives (address, link)."""

    def __init__(self, sessions: Sessions, on_link: Callable[[str, str], None]) -> None:
        self._sessions, self._on_link = sessions, on_link

    async def send(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """Sends a sign-in link; creates a missing account unless `create_user` is false."""
        email = read_email(body)
        account = await accounts.find(connection, email=email)
        if account is None and not body.get("create_user", True):
            raise AuthError(422, "otp_disabled", "Signups not allowed for otp")
        data = read_metadata(body, "data")
        user_id = account.user["id"] if account else await _create_unconfirmed(connection, email, data)
        return await self._send(connection, request, user_id, email, "magiclink")

    async def recover(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """Sends a password-recovery link; an unknown address gets the same response."""
        email = read_email(body)
        account = await accounts.find(connection, email=email)
        return await self._send(connection, request, account.user["id"], email, "recovery") if account else {}

    async def invite(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """Creates an account and sends its sign-in link."""
        self._sessions.require_admin(request)
        email = read_email(body)
        user_id = await _create_unconfirmed(connection, email, read_metadata(body, "data"))
        await self._send(connection, request, user_id, email, "invite")
        return (await require_account(connection, user_id)).user

    async def generate(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """A link for the admin to deliver; sends nothing."""
        self._sessions.require_admin(request)
        email, kind, data = read_email(body), str(body.get("type", "magiclink")), read_metadata(body, "data")
        if kind not in _KINDS:
            raise AuthError(400, "validation_failed", f"Links of type {kind} are not supported by this local Auth")
        account = await accounts.find(connection, email=email)
        if account is None:
            if kind == "recovery":
                raise AuthError(404, "user_not_found", "User with this email not found")
            kind = "signup" if kind == "magiclink" else kind
            user_id = await _create_unconfirmed(connection, email, data, read_password(body))
        elif kind in {"signup", "invite"}:
            raise AuthError(422, "email_exists", "A user with this email address has already been registered")
        else:
            user_id = account.user["id"]
        target = body.get("redirect_to") or request.query_params.get("redirect_to")
        link = await self._link(connection, user_id, email, kind, str(target) if target else None)
        return (await require_account(connection, user_id)).user | link

    async def verify(self, connection: Connection, _request: Request, body: dict[str, Any]) -> Any:
        """A session for the hash of a link, or for an address and its code."""
        hashed = body.get("token_hash") or grants.link_hash(str(body.get("email", "")), str(body.get("token", "")))
        user_id = await grants.use_link(connection, str(hashed))
        if user_id is None:
            raise AuthError(403, "otp_expired", "Token has expired or is invalid")
        return await self._sessions.open_session(connection, user_id, "otp")

    async def follow(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """A redirect for a browser; its fragment holds the session or the error."""
        query = request.query_params
        user_id = await grants.use_link(connection, query.get("token_hash") or query.get("token", ""))
        if user_id is None:
            text = "Email link is invalid or has expired"
            fragment = {"error": "access_denied", "error_code": "otp_expired", "error_description": text}
        else:
            session = await self._sessions.open_session(connection, user_id, "otp")
            fragment = {name: session[name] for name in _SESSION} | {"type": query.get("type", "magiclink")}
        return RedirectResponse(f"{query.get('redirect_to') or self._sessions.url}#{urlencode(fragment)}", 303)

    async def _send(
        self, connection: Connection, request: Request, user_id: str, email: str, kind: str
    ) -> dict[str, Any]:
        link = await self._link(connection, user_id, email, kind, request.query_params.get("redirect_to"))
        self._on_link(email, link["action_link"])
        return {}

    async def _link(
        self, connection: Connection, user_id: str, email: str, kind: str, redirect: str | None
    ) -> dict[str, Any]:
        code, hashed = await grants.new_link(connection, user_id, email)
        target = redirect or self._sessions.url
        query = urlencode({"token": hashed, "type": kind, "redirect_to": target})
        return {
            "action_link": f"{self._sessions.url}/auth/v1/verify?{query}",
            "email_otp": code,
            "hashed_token": hashed,
            "verification_type": kind,
            "redirect_to": target,
        }


async def _create_unconfirmed(
    connection: Connection, email: str, data: dict[str, Any], secret: str | None = None
) -> str:
    return await accounts.create(connection, email=email, password=secret, user_metadata=data, is_confirmed=False)
