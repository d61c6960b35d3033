"""One-time links; a callback receives them where Supabase would send a mail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse

from local.auth import accounts, grants, pkce
from local.auth.accounts import Connection
from local.auth.errors import AuthError
from local.auth.sessions import Sessions, read_email, read_metadata, read_password, require_account

_KINDS = {"magiclink", "signup", "invite", "recovery"}
_EXPIRED = "Email link is invalid or has expired"
_SESSION = ("access_token", "expires_at", "expires_in", "refresh_token", "token_type")


class Links:
    """Handlers of links; `on_link` receives (address, link, code)."""

    def __init__(self, sessions: Sessions, on_link: Callable[[str, str, str], None]) -> None:
        self._sessions, self._on_link = sessions, on_link

    async def send(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """Sends a sign-in link; creates a missing account unless `create_user` is false."""
        refuse_phone(body)
        email = read_email(body)
        account = await accounts.find(connection, email=email)
        if account is None and not body.get("create_user", True):
            raise AuthError(422, "otp_disabled", "Signups not allowed for otp")
        data = read_metadata(body, "data")
        user_id = account.user["id"] if account else await _create_unconfirmed(connection, email, data)
        return await self._send(connection, request, user_id, email, "magiclink", pkce.read_challenge(body))

    async def recover(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """Sends a password-recovery link; an unknown address gets the same response."""
        email = read_email(body)
        account, challenge = await accounts.find(connection, email=email), pkce.read_challenge(body)
        if account is None:
            return {}
        return await self._send(connection, request, account.user["id"], email, "recovery", challenge)

    async def resend(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """Sends a link again; an unknown address gets the same response."""
        refuse_phone(body)
        email = read_email(body)
        account, challenge = await accounts.find(connection, email=email), pkce.read_challenge(body)
        if body.get("type") not in {"signup", "email_change"}:
            raise AuthError(400, "validation_failed", "Missing one of these types: signup, email_change")
        if account is None:
            return {}
        return await self._send(connection, request, account.user["id"], email, "signup", challenge)

    async def reauthenticate(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """Sends the signed-in user a code."""
        account, _ = await self._sessions.owner(connection, request)
        if not account.user["email"]:
            raise AuthError(422, "validation_failed", "Reauthentication requires the user to have an email")
        return await self._send(connection, request, account.user["id"], account.user["email"], "magiclink", None)

    async def invite(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """Creates an account and sends its sign-in link."""
        self._sessions.require_admin(request)
        email = read_email(body)
        user_id = await _create_unconfirmed(connection, email, read_metadata(body, "data"))
        await self._send(connection, request, user_id, email, "invite", None)
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
        refuse_phone(body)
        code, hashed, kind = (str(body.get(name) or "") for name in ("token", "token_hash", "type"))
        if not code and not hashed:
            raise AuthError(400, "validation_failed", "Verify requires a token or a token hash")
        if not kind:
            raise AuthError(400, "validation_failed", "Verify requires a verification type")
        of_code = "" if hashed else grants.link_hash(read_email(body), code)
        hashes = (hashed,) if hashed else (of_code, pkce.PREFIX + of_code)
        user_id = await grants.use_link(connection, *hashes) if kind in _KINDS | {"email"} else None
        if user_id is None:
            raise AuthError(403, "otp_expired", "Token has expired or is invalid")
        return await self._sessions.open_session(connection, user_id, "otp")

    async def follow(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """A redirect for a browser. Its fragment holds the session or the error; with PKCE its query has the code."""
        query = request.query_params
        hashed, target = query.get("token_hash") or query.get("token", ""), query.get("redirect_to")
        user_id = await grants.use_link(connection, hashed)
        code = await pkce.issue_code(connection, user_id) if user_id and hashed.startswith(pkce.PREFIX) else None
        if code:
            return RedirectResponse(_with_query(target or self._sessions.url, {"code": code}), 303)
        if user_id is None:
            error = {"error": "access_denied", "error_code": "otp_expired", "error_description": _EXPIRED}
            target = _with_query(target or self._sessions.url, error if hashed.startswith(pkce.PREFIX) else {})
            return RedirectResponse(f"{target}#{urlencode(error)}", 303)
        session = await self._sessions.open_session(connection, user_id, "otp")
        fragment = {name: session[name] for name in _SESSION} | {"type": query.get("type", "magiclink")}
        return RedirectResponse(f"{target or self._sessions.url}#{urlencode(fragment)}", 303)

    async def _send(
        self, connection: Connection, request: Request, user_id: str, email: str, kind: str, challenge: str | None
    ) -> dict[str, Any]:
        if challenge:
            await pkce.start(connection, user_id, challenge)
        redirect, prefix = request.query_params.get("redirect_to"), pkce.PREFIX if challenge else ""
        link = await self._link(connection, user_id, email, kind, redirect, prefix)
        self._on_link(email, link["action_link"], link["email_otp"])
        return {}

    async def _link(
        self, connection: Connection, user_id: str, email: str, kind: str, redirect: str | None, prefix: str = ""
    ) -> dict[str, Any]:
        code, hashed = await grants.new_link(connection, user_id, email, prefix)
        target = redirect or self._sessions.url
        query = urlencode({"token": hashed, "type": kind, "redirect_to": target})
        return {
            "action_link": f"{self._sessions.url}/auth/v1/verify?{query}",
            "email_otp": code,
            "hashed_token": hashed,
            "verification_type": kind,
            "redirect_to": target,
        }


def refuse_phone(body: dict[str, Any]) -> None:
    """Raises AuthError 400 for a phone number: this local Auth sends no texts."""
    if body.get("phone"):
        raise AuthError(400, "phone_provider_disabled", "Unsupported phone provider")


def _with_query(address: str, more: dict[str, str]) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query, keep_blank_values=True), *more.items()])))


async def _create_unconfirmed(
    connection: Connection, email: str, data: dict[str, Any], secret: str | None = None
) -> str:
    return await accounts.create(connection, email=email, password=secret, user_metadata=data, is_confirmed=False)
