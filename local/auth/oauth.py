"""The OAuth 2.1 server of Auth: apps register themselves, a user consents on the page, the app gets tokens."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from typing import Any, Final
from urllib.parse import unquote, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from local.auth import oauth_rows, pkce
from local.auth.accounts import Connection
from local.auth.errors import AuthError
from local.auth.oauth_rows import Authorization, Client
from local.auth.sessions import Sessions

METADATA_PATHS: Final = (
    "/.well-known/oauth-authorization-server/auth/v1",
    "/auth/v1/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration/auth/v1",
    "/auth/v1/.well-known/openid-configuration",
)
CONSENT_PATH: Final = "/oauth/consent"
_AUTH_METHODS: Final = ("client_secret_basic", "client_secret_post", "none")
_GRANTS: Final = ("authorization_code", "refresh_token")
_MAX_ADDRESSES = 10
_ODD = re.compile(r"[^!-~]|[#\\]")
_TOKEN_FIELDS = ("access_token", "token_type", "expires_in", "refresh_token")


class OAuthError(Exception):
    """An error of the token endpoint, in the form of RFC 6749."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code, self.description = code, description

    def response(self) -> Response:
        """The response."""
        body = {"error": self.code, "error_description": self.description}
        return JSONResponse(body, 401 if self.code == "invalid_client" else 400, {"cache-control": "no-store"})


class OAuthServer:
    """Handlers of /oauth; `site_url` is the address of the page that asks for consent."""

    def __init__(self, sessions: Sessions, site_url: str) -> None:
        self._sessions, self._site_url = sessions, site_url

    async def show_metadata(self, _request: Request) -> Response:
        """The metadata of RFC 8414."""
        issuer = f"{self._sessions.url}/auth/v1"
        return JSONResponse(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/oauth/authorize",
                "token_endpoint": f"{issuer}/oauth/token",
                "jwks_uri": f"{issuer}/.well-known/jwks.json",
                "registration_endpoint": f"{issuer}/oauth/clients/register",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": list(_GRANTS),
                "token_endpoint_auth_methods_supported": list(_AUTH_METHODS),
                "code_challenge_methods_supported": ["S256", "plain"],
            }
        )

    async def register(self, connection: Connection, _request: Request, body: dict[str, Any]) -> Any:
        """A new client, as RFC 7591 has it."""
        method = body.get("token_endpoint_auth_method") or "client_secret_basic"
        granted = body.get("grant_types") or list(_GRANTS)
        if method not in _AUTH_METHODS:
            raise AuthError(400, "validation_failed", f"token_endpoint_auth_method must be one of: {_AUTH_METHODS}")
        if not isinstance(granted, list) or not set(map(str, granted)) <= set(_GRANTS):
            raise AuthError(400, "validation_failed", f"grant_types must only contain {' and/or '.join(_GRANTS)}")
        secret = None if method == "none" else secrets.token_urlsafe(32)
        fields = {name: body.get(name) for name in ("client_name", "client_uri", "logo_uri")}
        client = await oauth_rows.add_client(connection, fields, _addresses(body), granted, method, secret)
        return JSONResponse(client | ({"client_secret": secret} if secret else {}), 201)

    async def authorize(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """A redirect of the browser to the page that asks for consent."""
        query = request.query_params
        client = await oauth_rows.find_client(connection, query.get("client_id", ""))
        if client is None:
            raise AuthError(400, "oauth_client_not_found", "invalid client_id")
        if query.get("redirect_uri", "") not in client.redirect_uris:
            raise AuthError(400, "validation_failed", "invalid redirect_uri")
        if query.get("response_type", "code") != "code":
            raise AuthError(400, "validation_failed", "Only response_type=code is supported")
        challenge = pkce.read_challenge(dict(query))
        if challenge is None:
            message = "PKCE flow requires both code_challenge and code_challenge_method"
            raise AuthError(400, "validation_failed", message)
        authorization_id = await oauth_rows.add_authorization(connection, dict(query), challenge)
        target = f"{self._site_url}{CONSENT_PATH}?{urlencode({'authorization_id': authorization_id})}"
        return RedirectResponse(target, 302)

    async def show(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """What the page shows: the app and its scope. A user who consented before gets the redirect at once."""
        account, _ = await self._sessions.owner(connection, request)
        user_id = account.user["id"]
        found = await self._pending(connection, request)
        if found.user_id is None:
            await oauth_rows.set_user(connection, found.authorization_id, user_id)
            if await oauth_rows.has_consent(connection, user_id, found.client_id, found.scope):
                return {"redirect_url": await self._approved(connection, found)}
        elif found.user_id != user_id:
            raise _unknown_authorization()
        return {
            "authorization_id": found.authorization_id,
            "redirect_uri": found.redirect_uri,
            "client": await oauth_rows.client_json(connection, found.client_id),
            "user": {"id": user_id, "email": account.user["email"]},
            "scope": found.scope,
        }

    async def decide(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """The address of the app with a code, or with the user's refusal."""
        account, _ = await self._sessions.owner(connection, request)
        action = body.get("action")
        if action not in {"approve", "deny"}:
            raise AuthError(400, "validation_failed", "action must be 'approve' or 'deny'")
        found = await self._pending(connection, request)
        if found.user_id != account.user["id"]:
            raise _unknown_authorization()
        if action == "approve":
            await oauth_rows.add_consent(connection, found)
            return {"redirect_url": await self._approved(connection, found)}
        await oauth_rows.end(connection, found.authorization_id)
        refusal = {"error": "access_denied", "error_description": "User denied the request"}
        return {"redirect_url": _redirect(found, refusal)}

    async def token(self, connection: Connection, request: Request, body: dict[str, Any]) -> Any:
        """The tokens for a code or a refresh token."""
        try:
            client = await _authenticated(connection, request, body)
            session = await self._session(connection, client, body)
        except OAuthError as error:
            return error.response()
        if isinstance(session, AuthError):
            return OAuthError("invalid_grant", session.message).response()
        return JSONResponse({name: session[name] for name in _TOKEN_FIELDS}, headers={"cache-control": "no-store"})

    async def _session(self, connection: Connection, client: Client, body: dict[str, Any]) -> Any:
        grant = body.get("grant_type")
        if grant not in _GRANTS:
            raise OAuthError("unsupported_grant_type", "Unsupported grant type")
        if grant == "refresh_token":
            return await self._sessions.refresh(connection, str(body.get("refresh_token")), client.id)
        return await self._by_code(connection, client, body)

    async def list_grants(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """The apps that the user consented to."""
        account, _ = await self._sessions.owner(connection, request)
        return await oauth_rows.consents(connection, account.user["id"])

    async def revoke(self, connection: Connection, request: Request, _body: dict[str, Any]) -> Any:
        """Takes back a consent and ends the sessions of the app."""
        account, _ = await self._sessions.owner(connection, request)
        client = await oauth_rows.find_client(connection, request.query_params.get("client_id", ""))
        if client is None or not await oauth_rows.revoke(connection, account.user["id"], client.id):
            raise AuthError(404, "oauth_consent_not_found", "No active grant found for this client")
        return Response(status_code=204)

    async def _pending(self, connection: Connection, request: Request) -> Authorization:
        found = await oauth_rows.find_authorization(connection, request.path_params["authorization_id"])
        if found is None:
            raise _unknown_authorization()
        return found

    async def _approved(self, connection: Connection, found: Authorization) -> str:
        code = secrets.token_urlsafe(32)
        await oauth_rows.approve(connection, found.authorization_id, code)
        return _redirect(found, {"code": code})

    async def _by_code(self, connection: Connection, client: Client, body: dict[str, Any]) -> dict[str, Any]:
        found = await oauth_rows.use_code(connection, str(body.get("code") or ""))
        if found is None or found.client_id != client.id or found.user_id is None:
            raise OAuthError("invalid_grant", "Invalid authorization code")
        if body.get("redirect_uri", found.redirect_uri) != found.redirect_uri:
            raise OAuthError("invalid_grant", "Invalid redirect_uri")
        if body.get("resource", found.resource) != found.resource:
            raise OAuthError("invalid_grant", "Authorization code resource does not match the resource parameter")
        if not pkce.fits(str(body.get("code_verifier") or ""), found.challenge):
            raise OAuthError("invalid_grant", "PKCE verification failed")
        method = "oauth_provider/authorization_code"
        return await self._sessions.open_session(connection, found.user_id, method, client.id)


async def _authenticated(connection: Connection, request: Request, body: dict[str, Any]) -> Client:
    """The client, by its id and, if it has one, its secret. Raises OAuthError."""
    client_id, secret = str(body.get("client_id") or ""), str(body.get("client_secret") or "")
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, secret = map(unquote, base64.b64decode(credentials, validate=True).decode().partition(":"))
        except (binascii.Error, ValueError):
            raise OAuthError("invalid_client", "Invalid Basic authorization") from None
    client = await oauth_rows.find_client(connection, client_id)
    if client is None or not client.has_secret(secret):
        raise OAuthError("invalid_client", "Client authentication required")
    return client


def _addresses(body: dict[str, Any]) -> list[str]:
    """The redirect addresses of a registration: https, or http on loopback. Raises AuthError."""
    found = body.get("redirect_uris")
    if not isinstance(found, list) or not 0 < len(found) <= _MAX_ADDRESSES:
        raise AuthError(400, "validation_failed", f"redirect_uris takes 1 to {_MAX_ADDRESSES} addresses")
    for each in found:
        if not (isinstance(each, str) and _is_address(each)):
            message = f"invalid redirect_uri '{each}': scheme must be HTTPS or HTTP (localhost only)"
            raise AuthError(400, "validation_failed", message)
    return found


def _is_address(text: str) -> bool:
    """Whether an app may be called back at this address: no user name, fragment or white space."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if _ODD.search(text) or parts.username is not None:
        return False
    is_local = parts.scheme == "http" and host in {"localhost", "127.0.0.1"}
    is_cursor = parts.scheme == "cursor" and host == "anysphere.cursor-mcp"
    return is_local or is_cursor or (parts.scheme == "https" and bool(host))


def _redirect(found: Authorization, values: dict[str, str]) -> str:
    """The app's address with these values and the app's state."""
    values |= {"state": found.state} if found.state else {}
    return f"{found.redirect_uri}{'&' if '?' in found.redirect_uri else '?'}{urlencode(values)}"


def _unknown_authorization() -> AuthError:
    return AuthError(404, "oauth_authorization_not_found", "authorization not found")
