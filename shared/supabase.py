"""Supabase's data API, as the caller or as the service, over the one shared session."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

from shared import http
from shared.config import settings
from shared.errors import BY_CODE, DatabaseUnavailable, Forbidden, InternalError, ParleyError, Unauthenticated
from shared.sanitize import sanitize_text


def as_caller(token: str) -> dict[str, str]:
    """Headers that make the database see the person behind `token`."""
    return {"apikey": settings().require("SUPABASE_ANON_KEY"), "Authorization": f"Bearer {token}"}


def as_service() -> dict[str, str]:
    """Headers of the service. Opaque `sb_secret_` keys travel as apikey only; legacy JWT keys as a bearer token too."""
    key = settings().require("SUPABASE_SERVICE_KEY")
    return {"apikey": key} if key.startswith("sb_") else {"apikey": key, "Authorization": f"Bearer {key}"}


async def rpc(name: str, arguments: dict[str, Any], who: dict[str, str], *, timeout_seconds: float = 5.0) -> Any:
    """Calls a database function.

    Raises the refusal the function worded (a class of `shared.errors` by its code), Unauthenticated when the database
    does not accept the token, DatabaseUnavailable when it cannot be reached in time, InternalError otherwise.
    """
    body = json.dumps(sanitize_text(arguments), separators=(",", ":"), allow_nan=False).encode()
    return await _ask("POST", f"/rest/v1/rpc/{name}", who, timeout_seconds, data=body)


async def select(path_and_query: str, who: dict[str, str], *, timeout_seconds: float = 5.0) -> Any:
    """Rows of a table or view, as PostgREST answers `path_and_query`. Raises as `rpc` does."""
    return await _ask("GET", f"/rest/v1/{path_and_query}", who, timeout_seconds)


async def _ask(method: str, path: str, who: dict[str, str], timeout_seconds: float, data: bytes | None = None) -> Any:
    url = settings().supabase_url + path
    headers = who if data is None else who | {"Content-Type": "application/json"}
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            http.session().request(method, url, data=data, headers=headers, allow_redirects=False) as response,
        ):
            status, text = response.status, await response.text()
    except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError) as error:
        raise _down() from error
    try:
        answer = json.loads(text) if text else None
    except ValueError as error:
        raise _down() from error
    if status < 300:
        return answer
    raise refusal(status, answer)


def _down() -> DatabaseUnavailable:
    return DatabaseUnavailable("The database cannot be reached right now.", retry_after_seconds=2)


def refusal(status: int, answer: Any) -> ParleyError:
    """The error behind a PostgREST error answer; nothing of SQL gets through, only what our own functions worded."""
    fields = answer if isinstance(answer, dict) else {}
    if str(fields.get("code", "")).startswith("PT"):
        try:
            detail = json.loads(fields.get("details") or "{}")
            metadata = detail.get("metadata") or {}
            known = BY_CODE[detail["code"]]
        except (ValueError, KeyError, AttributeError):
            return InternalError("The database refused this request.")
        retry_after = metadata.pop("retry_after", None)
        return known(str(fields.get("message")), metadata=metadata, retry_after_seconds=retry_after)
    if status == 401:
        return Unauthenticated("The access token was not accepted.")
    if status == 403:
        return Forbidden("The database does not allow this.")
    if status >= 500:
        return _down()
    return InternalError("The database did not understand this request.")
