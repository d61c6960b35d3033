"""Supabase's data API, as the user or as the service, over the shared HTTP session."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from shared import http
from shared.config import settings
from shared.database_errors import PAUSE_SECONDS, code_of, is_retried, refusal, unavailable
from shared.lenient_json import read_json
from shared.sanitize import sanitized_json


def as_caller(token: str) -> dict[str, str]:
    """Headers of a request as the user of `token`."""
    return {"apikey": settings().require("SUPABASE_ANON_KEY"), "Authorization": f"Bearer {token}"}


def as_service() -> dict[str, str]:
    """Headers of the service. An `sb_secret_` key is sent as apikey only, a legacy JWT key as bearer token too."""
    key = settings().require("SUPABASE_SERVICE_KEY")
    return {"apikey": key} if key.startswith("sb_") else {"apikey": key, "Authorization": f"Bearer {key}"}


async def rpc(name: str, arguments: dict[str, Any], headers: dict[str, str], *, timeout_seconds: float = 5.0) -> Any:
    """The result of a database function.

    Raises the class of `shared.errors` whose code the function raised, Unauthenticated if the database rejects the
    token, DatabaseUnavailable if it does not answer in time, InternalError otherwise.
    """
    body = sanitized_json(arguments).encode()
    return await _request("POST", f"/rest/v1/rpc/{name}", headers, timeout_seconds, data=body)


async def select(path_and_query: str, headers: dict[str, str], *, timeout_seconds: float = 5.0) -> Any:
    """Rows of a table or view, for PostgREST's `path_and_query`. Raises as `rpc` does."""
    return await _request("GET", f"/rest/v1/{path_and_query}", headers, timeout_seconds)


async def _request(
    method: str, path: str, headers: dict[str, str], timeout_seconds: float, data: bytes | None = None
) -> Any:
    """The payload. A request that met a busy database, which changed nothing, is sent once more within the time."""
    url = settings().supabase_url + path
    sent = headers if data is None else headers | {"Content-Type": "application/json"}
    is_answered = False
    try:
        async with asyncio.timeout(timeout_seconds):
            status, payload = await _response(method, url, sent, data)
            is_answered = True
            if status >= 300 and is_retried(code_of(payload), str(payload)):
                await asyncio.sleep(PAUSE_SECONDS)
                status, payload = await _response(method, url, sent, data)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        if not is_answered:
            raise unavailable() from error
    if status < 300:
        return payload
    raise refusal(status, payload)


async def _response(method: str, url: str, headers: dict[str, str], data: bytes | None) -> tuple[int, Any]:
    """Status and JSON of the response. Raises ValueError when it is not JSON in UTF-8."""
    async with http.session().request(method, url, data=data, headers=headers, allow_redirects=False) as response:
        status, text = response.status, (await response.read()).decode()
    return status, read_json(text) if text else None
