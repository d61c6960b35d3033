"""Creates users and access tokens through the admin API of Supabase Auth."""

from __future__ import annotations

from typing import Any

import httpx

from local.errors import StackError

DEMO_EMAIL = "demo@parley.local"
_EXISTS = {"email_exists", "user_already_exists"}


def create_user(supabase_url: str, service_key: str, email: str, password: str | None) -> None:
    """Creates a confirmed account; an existing account stays unchanged. Raises StackError on an error."""
    body = {"email": email, "email_confirm": True} | ({} if password is None else {"password": password})
    response = _post(supabase_url, service_key, "admin/users", body)
    if response.status_code >= 300 and _json(response).get("error_code") not in _EXISTS:
        raise _error(response)


def access_token(supabase_url: str, service_key: str, email: str) -> str:
    """The access token of a new session, without a password; creates a missing user."""
    # GoTrue makes a sign-up link for an unknown address; the response names the type.
    link = _checked(_post(supabase_url, service_key, "admin/generate_link", {"type": "magiclink", "email": email}))
    proof = {"type": link.get("verification_type", "magiclink"), "token_hash": link.get("hashed_token")}
    session = _checked(_post(supabase_url, service_key, "verify", proof))
    token = session.get("access_token")
    if not isinstance(token, str):
        raise StackError(f"{supabase_url} answered without an access token")
    return token


def _post(supabase_url: str, service_key: str, path: str, body: dict[str, Any]) -> httpx.Response:
    headers = {"apikey": service_key, "Authorization": f"Bearer {service_key}"}
    try:
        return httpx.post(f"{supabase_url.rstrip('/')}/auth/v1/{path}", json=body, headers=headers, timeout=10)
    except httpx.TransportError as error:
        raise StackError(f"no answer from {supabase_url}: {error}; is the stack running? (`make run`)") from None


def _checked(response: httpx.Response) -> dict[str, Any]:
    if response.status_code >= 300:
        raise _error(response)
    return _json(response)


def _error(response: httpx.Response) -> StackError:
    body = _json(response)
    reason = body.get("msg") or body.get("message") or response.text[:200]
    return StackError(f"{response.url} answered {response.status_code}: {reason}")


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
