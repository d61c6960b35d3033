"""HTTP responses from the result of a statement."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from local.rest.errors import HEADER_NAME, HEADER_VALUE, ApiError
from local.rest.openapi import document
from local.rest.request import RestRequest
from local.rest.results import Statement
from local.rest.schema_cache import SCHEMA

_STATUS = re.compile("[2-5][0-9][0-9]")
_WITHOUT_BODY = {204, 205, 304}


def response_of(request: RestRequest, statement: Statement, row: tuple[Any, ...]) -> Response:
    """The response. Raises ApiError for a result that the request does not allow."""
    total, count, body, status, headers, updated, location = row
    limit = request.preferences.max_affected
    if limit is not None and "max-affected" in statement.applied and total > limit:
        text = "Query result exceeds max-affected preference constraint"
        raise ApiError(400, "PGRST124", text, f"The query affects {total} rows")
    if request.is_single and statement.has_body and count != 1:
        text = "Cannot coerce the result to a single JSON object"
        raise ApiError(406, "PGRST116", text, f"The result contains {count} rows")
    shown = total if request.preferences.wants_count else None
    if shown is not None and statement.offset > shown:
        details = f"An offset of {statement.offset} was requested, but there are only {shown} rows."
        raise ApiError(416, "PGRST103", "Requested range not satisfiable", details)
    code = _chosen_status(status) or _status(request, statement, shown, count, total, updated)
    is_empty = not statement.has_body or request.method == "HEAD" or code in _WITHOUT_BODY
    body = body if request.path else document(body, request.base_url)
    response_headers = {
        **({"content-type": request.media.content_type} if statement.has_body else {}),
        **_content_range(statement, shown, count),
        **({"preference-applied": applied} if (applied := request.preferences.applied(statement.applied)) else {}),
        **({"location": _location(request, location)} if location else {}),
        **({"content-profile": SCHEMA} if request.profile is not None else {}),
        **_chosen_headers(headers),
    }
    return Response(b"" if is_empty else body, code, response_headers)


def plan_response(request: RestRequest, lines: list[Any]) -> Response:
    """The execution plan of a request: one JSON value, or lines of text."""
    body = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return Response(body, 200, {"content-type": request.media.content_type})


def _status(
    request: RestRequest, statement: Statement, shown: int | None, count: int, total: int | None, updated: int | None
) -> int:
    if statement.is_read_only and statement.range_of == "page" and shown is not None and count < shown:
        return 206
    if request.method in {"PATCH", "PUT", "DELETE"} and not statement.has_body:
        return 204
    if statement.status_if_all_updated and (total or 0) - (updated or 0) <= 0:
        return statement.status_if_all_updated
    return statement.success_status


def _content_range(statement: Statement, shown: int | None, count: int) -> dict[str, str]:
    if not statement.range_of:
        return {}
    is_shown = count and statement.range_of != "nothing"
    rows = f"{statement.offset}-{statement.offset + count - 1}" if is_shown else "*"
    return {"content-range": f"{rows}/{'*' if shown is None else shown}"}


def _location(request: RestRequest, keys: dict[str, str]) -> str:
    pairs = (f"{quote(name)}=eq.{quote(value)}" for name, value in keys.items())
    return f"/{quote(request.path)}?{'&'.join(pairs)}"


def _chosen_status(text: str | None) -> int | None:
    """The status that a function set in response.status; None without one."""
    if text is None:
        return None
    if not _STATUS.fullmatch(text):
        raise ApiError(500, "PGRST112", "response.status guc must be a valid status code")
    return int(text)


def _chosen_headers(text: str | None) -> dict[str, str]:
    """The headers that a function set in response.headers as `[{"name": "value"}, …]`."""
    try:
        pairs = [pair for each in json.loads(text or "[]") for pair in each.items()]
        if all(HEADER_NAME.fullmatch(name) and HEADER_VALUE.fullmatch(value) for name, value in pairs):
            return {name.lower(): value for name, value in pairs}
    except (ValueError, AttributeError, TypeError):
        pass
    message = "response.headers guc must be a JSON array composed of objects with a single key and a string value"
    raise ApiError(500, "PGRST111", message)


def error_response(error: ApiError, request: Request) -> Response:
    """The error in PostgREST's JSON format."""
    headers = {
        "content-type": "application/json; charset=utf-8",
        "proxy-status": f"PostgREST; error={error.body['code']}",
    }
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    is_empty = request.method == "HEAD" or error.status in _WITHOUT_BODY
    body = b"" if is_empty else json.dumps(error.body).encode()
    return Response(body, error.status, headers | error.headers)
