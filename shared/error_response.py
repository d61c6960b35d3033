"""Errors as HTTP responses, in OpenAI's shape."""

from __future__ import annotations

import math
from typing import Any

from starlette.responses import JSONResponse

from shared.errors import (
    BudgetExceeded,
    ContextLengthExceeded,
    ParleyError,
    ProviderRefused,
    QuotaExceeded,
    Unauthenticated,
)

_TYPES = {401: "authentication_error", 402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error"}


def error_body(error: ParleyError, request_id: str) -> dict[str, Any]:
    """The error in OpenAI's shape, from which its SDKs choose their exception."""
    kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    code, metadata = error.code, error.metadata
    if error.wording is not None:
        code, kind = error.wording.code, error.wording.type
        if code != error.code:
            metadata = metadata | {"code": error.code}
    return {
        "error": {
            "message": error.message,
            "type": kind,
            "code": code,
            "param": error.param,
            "request_id": request_id,
            "metadata": metadata,
        }
    }


def error_response(error: ParleyError, request_id: str) -> JSONResponse:
    """The response for an error: status, headers and JSON body."""
    headers = dict(error.headers)
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    if isinstance(error, QuotaExceeded | BudgetExceeded | ProviderRefused | ContextLengthExceeded):
        headers["x-should-retry"] = "false"  # a retry of the same request cannot succeed soon
    return JSONResponse(error_body(error, request_id), error.status, headers)
