"""Errors in the format of Supabase Auth."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

_VERSION_HEADER = "x-supabase-api-version"
_VERSION = "2024-01-01"


class AuthError(Exception):
    """An error response; `more` are further members of its body."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more


def error_response(request: Request, error: AuthError) -> Response:
    """The error in the format of the client's API version; a version header names the newer format."""
    headers = {"x-sb-error-code": error.code}
    if request.headers.get(_VERSION_HEADER, "") >= _VERSION:
        body = {"code": error.code, "message": error.message}
        return JSONResponse(body | error.more, error.status, headers | {_VERSION_HEADER: _VERSION})
    old = {"code": error.status, "error_code": error.code, "msg": error.message}
    return JSONResponse(old | error.more, error.status, headers)
