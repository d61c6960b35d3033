"""Reads what all providers send: token counts, delays, and errors by status and code."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import Any

from shared.errors import (
    ModelUnavailable,
    ProviderAuthFailed,
    ProviderError,
    ProviderOverloaded,
    ProviderRefused,
    ProviderUnreachable,
)
from shared.events import Usage
from shared.privacy import loggable
from shared.sanitize import sanitize_text

MAX_TOKENS = 100_000_000  # more than any model has; larger counts do not fit the ledger
_OUT_OF_CREDIT = {"insufficient_quota", "billing_error", "billing_hard_limit_reached"}
# Codes of a 400, 403, 404 or 410 for a model that is retired, unknown, or not served to our account or region, by
# OpenAI and Groq, Groq, Mistral, Hugging Face, Together, Gemini.
_NOT_SERVED = {
    "model_not_found",
    "model_decommissioned",
    "invalid_model",
    "model_not_supported",
    "model_not_available",
    "FAILED_PRECONDITION",
}
_POLICY = {"content_filter", "content_policy_violation", "moderation_blocked"}
_OVERFLOW_CODES = {"context_length_exceeded", "model_max_prompt_tokens_exceeded"}
_OVERFLOW = re.compile(
    r"(maximum|model's) (context|input|prompt) (length|limit)|prompt is too long|context (window|length) (of|exceeded)"
    r"|exceeds? (the |this )?(\w+'s )?(context|maximum number of (input )?tokens)|input token count .{0,40}exceed"
    r"|(available|model) context size|exceed context limit|tokens exceed the configured limit"
    r"|`inputs` tokens \+ `max_new_tokens`",
    re.IGNORECASE,
)
_PRIVATE = re.compile(r"\b(https?|wss?)://\S+|\b(org|proj|projects|acct|req)[-_/][\w-]{6,}")
_CODE = re.compile(r"[\w.-]{1,64}")
_MAX_REASON, _MAX_REASON_READ = 300, 2_000
_AUTH_OPEN_SECONDS = 300.0  # a wrong key or an empty account is not fixed within minutes
_UNREACHABLE_OPEN_SECONDS = 10.0
_MAX_DELAY_SECONDS = 86_400.0
PARSE_ERRORS = (
    ValueError,
    AttributeError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    RecursionError,
    AssertionError,
)
"""What a parser may raise for a malformed response."""
_MAX_PAUSE_SECONDS = 60.0  # the longest pause of a provider because one of its models is busy


def parse_usage(input_tokens: Any, output_tokens: Any, cached: Any = None, reasoning: Any = None) -> Usage | None:
    """Inclusive counts as Usage; None if they are missing or wrong, so that they are estimated."""
    if not _is_count(input_tokens) or not _is_count(output_tokens):
        return None
    known_input, known_output = min(input_tokens, MAX_TOKENS), min(output_tokens, MAX_TOKENS)
    return Usage(
        input_tokens=known_input,
        output_tokens=known_output,
        cached_tokens=min(cached, known_input) if _is_count(cached) else 0,
        reasoning_tokens=min(reasoning, known_output) if _is_count(reasoning) else 0,
    )


def _is_count(claimed: Any) -> bool:
    return isinstance(claimed, int) and not isinstance(claimed, bool) and claimed >= 0


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """The seconds of Retry-After or retry-after-ms; None without a valid one."""
    if (milliseconds := seconds_in(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if (seconds := seconds_in(text)) is not None:
        return seconds
    try:
        date = parsedate_tz(text) if text else None
        return min(max(0.0, mktime_tz(date) - time.time()), _MAX_DELAY_SECONDS) if date else None
    except PARSE_ERRORS:
        return None


def seconds_in(text: str | None) -> float | None:
    """The number of seconds, at most a day; None for other text."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return min(max(0.0, seconds), _MAX_DELAY_SECONDS) if math.isfinite(seconds) else None


def error_for_status(
    provider: str,
    status: int,
    *,
    code: str | None = None,
    retry_after: float | None = None,
    is_page: bool = False,
    reason: Any = None,
) -> ProviderError:
    """The error for a provider's HTTP status and machine code.

    `reason` is the provider's message; only the refusal of a request repeats it, redacted and cut.
    `is_page`: the response is an HTML page. A 403 page comes from a filter in front of the provider, which a prompt
    can trigger.
    """
    details: dict[str, Any] = {"upstream_status": status, "retry_after_seconds": retry_after}
    if status in {401, 402} or code in _OUT_OF_CREDIT:
        words = f"The provider {provider} does not accept our key or account."
        return ProviderAuthFailed(words, open_seconds=_AUTH_OPEN_SECONDS, **details)
    if status == 403 and (is_page or code in _POLICY):
        error = ProviderRefused(f"The provider {provider} refused this request.", **details)
        error.may_succeed_elsewhere = is_page
        return error
    if status in {403, 404, 410} or (status in {400, 422} and code in _NOT_SERVED):
        return ModelUnavailable(f"The provider {provider} does not serve this model to us.", **details)
    if status in {408, 409, 425, 429, 503, 529}:
        pause = None if retry_after is None else min(retry_after, _MAX_PAUSE_SECONDS)
        return ProviderOverloaded(f"The provider {provider} is overloaded.", open_seconds=pause, **details)
    if status >= 500:
        return ProviderError(f"The provider {provider} failed.", **details)
    return _refusal(provider, code, reason, details)


def _refusal(provider: str, code: str | None, reason: Any, details: dict[str, Any]) -> ProviderRefused:
    words = _shown(reason) if isinstance(reason, str) and not is_page_text(reason) else ""
    error = ProviderRefused(f"The provider {provider} refused this request{f': {words}' if words else '.'}", **details)
    error.upstream_code = code if code is not None and _CODE.fullmatch(code) else None
    error.is_overflow = code in _OVERFLOW_CODES or (isinstance(reason, str) and bool(_OVERFLOW.search(reason[:2000])))
    return error


def is_page_text(text: str) -> bool:
    """Whether the text is HTML."""
    return text.lstrip()[:1] == "<"


def _shown(reason: str) -> str:
    """The provider's sentence without addresses, ids of its account and secrets, at most 300 characters."""
    words = _PRIVATE.sub("[…]", sanitize_text(reason[:_MAX_REASON_READ]))
    return " ".join((loggable(words, "redacted") or "").split())[:_MAX_REASON]


def is_page(headers: Mapping[str, str]) -> bool:
    """Whether the response is an HTML page."""
    return headers.get("content-type", "").lower().startswith("text/html")


def unreachable(provider: str) -> ProviderUnreachable:
    """The error for a provider without a connection; its circuit opens for 10 seconds."""
    return ProviderUnreachable(f"The provider {provider} could not be reached.", open_seconds=_UNREACHABLE_OPEN_SECONDS)


def malformed_response(provider: str, what: str = "a chat stream") -> ProviderError:
    """The error for a response that cannot be parsed."""
    return ProviderError(f"The provider {provider} answered with something that is not {what}.")
