"""Errors in Anthropic's words: the statuses and types by which its SDKs and Claude Code decide what to do."""

from __future__ import annotations

from typing import Final

from shared.errors import (
    ContextExceeded,
    ContextLengthExceeded,
    ParleyError,
    ProviderOverloaded,
    ProviderRefused,
    Unprocessable,
    Wording,
)

OVERLOADED: Final = 529
_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}


def reworded(error: ParleyError) -> ParleyError:
    """The same error in Anthropic's words; its class, and so the code in the log row, is unchanged."""
    match error:
        case ContextExceeded() | ContextLengthExceeded():
            window = error.metadata.get("context_window")
            limit = f"{window} tokens" if isinstance(window, int) else "the context window"
            error.message = f"prompt is too long: the conversation exceeds {limit}"  # Claude Code reads its beginning
            error.status, error.param = 400, "messages"
        case Unprocessable():
            error.status = 400
        case ProviderRefused() if error.is_invalid_request:
            error.status = 400  # the client wrote the conversation, so the error is the client's
        case ProviderOverloaded():
            error.status = OVERLOADED
        case _:
            pass
    kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    error.wording = Wording(error.code, kind, "anthropic")
    return error
