"""Errors in the format of PostgREST."""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg

_STATUS_BY_SQLSTATE = {
    "08": 503,
    "09": 500,
    "0L": 403,
    "0P": 403,
    "21000": 500,
    "23503": 409,
    "23505": 409,
    "25006": 405,
    "25": 500,
    "28": 403,
    "2D": 500,
    "38": 500,
    "39": 500,
    "3B": 500,
    "40": 500,
    "42883": 404,
    "42P01": 404,
    "42P17": 500,
    "53": 503,
    "53400": 500,
    "54": 500,
    "55": 500,
    "57P01": 503,
    "57": 500,
    "58": 500,
    "P0001": 400,
    "P0": 500,
    "F0": 500,
    "HV": 500,
    "XX": 500,
}
"""HTTP status by SQLSTATE or its class; others are 400. From PostgREST's documentation of errors, 2026-11."""


_HTTP_STATUS = re.compile("[2-5][0-9][0-9]")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class ApiError(Exception):
    """An error response."""

    def __init__(
        self, status: int, code: str | None, message: str, details: Any = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = {}
        self.body: dict[str, Any] = {"code": code, "message": message, "details": details, "hint": hint}

    @property
    def is_cache_miss(self) -> bool:
        """Whether the schema cache may be older than a migration."""
        return str(self.body["code"]).startswith("PGRST2")


def from_postgres(error: psycopg.Error, role: str) -> ApiError:
    """The response to a database error. PTxyz is status xyz; a missing privilege is 401 for anon, else 403.

    An error with the SQLSTATE PGRST carries the whole response as JSON in its message and detail.
    """
    state, diagnosis = error.sqlstate, error.diag
    if state is None and isinstance(error, psycopg.DataError):  # psycopg rejects a NUL character itself
        return ApiError(400, "22021", str(error))
    if state is None:
        return ApiError(503, "PGRST001", "Database client error. Retrying the connection.")
    message = diagnosis.message_primary or str(error)
    if state == "PGRST":
        return _raised(message, diagnosis.message_detail)
    if state == "22023" and message.startswith("role ") and message.endswith(" does not exist"):
        return ApiError(401, state, message)
    status = 400 if state == "21000" and message.endswith("requires a WHERE clause") else _status(state, role)
    return ApiError(status, state, message, diagnosis.message_detail, diagnosis.message_hint)


def _raised(message: str, detail: str | None) -> ApiError:
    """The response that a function raised with `raise sqlstate 'PGRST'`."""
    try:
        body, answer = json.loads(message), json.loads(detail or "")
        error = ApiError(int(answer["status"]), body["code"], body["message"], body.get("details"), body.get("hint"))
        error.headers = {str(name).lower(): str(value) for name, value in answer["headers"].items()}
        _check(error)
    except (ValueError, KeyError, TypeError, AttributeError):
        text = "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error"
        hint = "MESSAGE must be a JSON object with obligatory keys: 'code', 'message' and optional keys: 'details',"
        return ApiError(500, "PGRST121", text, f"Invalid JSON value for MESSAGE: '{message}'", f"{hint} 'hint'.")
    return error


def _check(error: ApiError) -> None:
    is_valid = all(
        HEADER_NAME.fullmatch(name) and HEADER_VALUE.fullmatch(value) for name, value in error.headers.items()
    )
    if not is_valid or not _HTTP_STATUS.fullmatch(str(error.status)) or not isinstance(error.body["message"], str):
        raise ValueError


def _status(state: str, role: str) -> int:
    if state.startswith("PT"):
        return int(state[2:]) if _HTTP_STATUS.fullmatch(state[2:]) else 500
    if state == "42501":
        return 401 if role == "anon" else 403
    for length in (5, 2):
        if state[:length] in _STATUS_BY_SQLSTATE:
            return _STATUS_BY_SQLSTATE[state[:length]]
    return 400
