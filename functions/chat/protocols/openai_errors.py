"""Errors in OpenAI's words: the statuses and codes by which its SDKs, langchain and litellm choose an exception."""

from __future__ import annotations

from typing import Final

from shared.errors import (
    BudgetExceeded,
    ContextExceeded,
    ContextLengthExceeded,
    ParleyError,
    ProviderRefused,
    QuotaExceeded,
    TooManyTurns,
    Unprocessable,
    Wording,
)

_TOO_LONG: Final = Wording("context_length_exceeded", "invalid_request_error")
_LIMITED: Final = Wording("rate_limit_exceeded", "rate_limit_error")


def reworded(error: ParleyError) -> ParleyError:
    """The same error in OpenAI's words; its class, and so the code in the log row, is unchanged."""
    match error:
        case ContextExceeded() | ContextLengthExceeded():
            _say_too_long(error)
        case ProviderRefused() if error.is_invalid_request:
            error.status = 400  # the client wrote the conversation, so the error is the client's
            if error.upstream_code:
                error.wording = Wording(error.upstream_code, "invalid_request_error")
        case Unprocessable():
            error.status = 400
        case BudgetExceeded():
            error.status, error.wording = 429, Wording("insufficient_quota", "insufficient_quota")
        case QuotaExceeded() | TooManyTurns():
            error.wording = _LIMITED
        case _:
            pass
    return error


def _say_too_long(error: ParleyError) -> None:
    window = error.metadata.get("context_window")
    limit = f"{window} tokens" if isinstance(window, int) else "shorter than this conversation"
    # LiteLLM reads the first sentence, LangChain the code or the words of the second: newer SDKs show the message only.
    error.message = (
        f"This model's maximum context length is {limit}. The conversation exceeds the context window "
        "(context_length_exceeded). Please reduce the length of the messages."
    )
    error.status, error.wording, error.param = 400, _TOO_LONG, "messages"
