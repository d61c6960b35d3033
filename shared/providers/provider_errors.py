"""Reads what all providers send about failures: delays, and errors by status and code."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import Any

from shared.errors import (
    ContextLengthExceeded,
    ModelUnavailable,
    ProviderAuthFailed,
    ProviderError,
    ProviderOverloaded,
    ProviderRefused,
    ProviderUnreachable,
)
from shared.privacy import loggable
from shared.providers.refusals import Refusal, refusal_in
from shared.sanitize import sanitize_text

_NO_WORDS = Refusal()
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
    refusal: Refusal = _NO_WORDS,
    retry_after: float | None = None,
    is_page: bool = False,
) -> ProviderError:
    """The error for a provider's HTTP status and refusal.

    Only the rejection of a request repeats the provider's message, redacted and cut.
    `is_page`: the response is an HTML page. A 403 page comes from a filter in front of the provider, which a prompt
    can trigger.
    """
    details: dict[str, Any] = {"upstream_status": status, "retry_after_seconds": retry_after}
    meaning = refusal.meaning(status)
    if status in {401, 402} or meaning == "account":
        words = f"The provider {provider} does not accept our key or account."
        return ProviderAuthFailed(words, open_seconds=_AUTH_OPEN_SECONDS, **details)
    if meaning == "too_long" and status != 429:
        return ContextLengthExceeded("The request is longer than the model's maximum context length.", **details)
    if status == 403 and (is_page or meaning == "policy"):
        error = ProviderRefused(f"The provider {provider} refused this request.", **details)
        error.may_succeed_elsewhere = is_page
        return error
    if status in {403, 404, 410} or (status in {400, 422} and meaning == "not_served"):
        return ModelUnavailable(f"The provider {provider} does not serve this model to us.", **details)
    if status in {408, 409, 425, 429, 503, 529}:
        pause = None if retry_after is None else min(retry_after, _MAX_PAUSE_SECONDS)
        return ProviderOverloaded(f"The provider {provider} is overloaded.", open_seconds=pause, **details)
    if status >= 500:
        return ProviderError(f"The provider {provider} failed.", **details)
    return _rejection(provider, refusal, details)


def _rejection(provider: str, refusal: Refusal, details: dict[str, Any]) -> ProviderRefused:
    words = _shown(refusal.message)
    error = ProviderRefused(f"The provider {provider} refused this request{f': {words}' if words else '.'}", **details)
    code = next(iter(refusal.codes), "")
    error.upstream_code = code if _CODE.fullmatch(code) else None
    return error


def _shown(reason: str) -> str:
    """The provider's sentence without addresses, ids of its account and secrets, at most 300 characters.

    Empty for HTML.
    """
    if reason.lstrip()[:1] == "<":
        return ""
    words = _PRIVATE.sub("[…]", sanitize_text(reason[:_MAX_REASON_READ]))
    return " ".join((loggable(words, "redacted") or "").split())[:_MAX_REASON]


def error_in_answer(provider: str, error: Any) -> ProviderError:
    """The error inside a 200. Hosts put a status or a word into `code`, or send a sentence only."""
    inner = error.get("error", error) if isinstance(error, dict) else error
    status = inner.get("code") or inner.get("status") if isinstance(inner, dict) else None
    refusal = refusal_in(error)
    if isinstance(status, str) and status.isdecimal():
        status = int(status)
    if isinstance(status, int) and not isinstance(status, bool) and 400 <= status < 600:
        return error_for_status(provider, status, refusal=refusal)
    if refusal.meaning(400) is not None:
        return error_for_status(provider, 400, refusal=refusal)
    return ProviderOverloaded("The provider broke off with an error inside its answer.")


def is_page(headers: Mapping[str, str]) -> bool:
    """Whether the response is an HTML page."""
    return headers.get("content-type", "").lower().startswith("text/html")


def unreachable(provider: str) -> ProviderUnreachable:
    """The error for a provider without a connection; its circuit opens for 10 seconds."""
    return ProviderUnreachable(f"The provider {provider} could not be reached.", open_seconds=_UNREACHABLE_OPEN_SECONDS)


def malformed_response(provider: str, what: str = "a chat stream") -> ProviderError:
    """The error for a response that cannot be parsed."""
    return ProviderError(f"The provider {provider} answered with something that is not {what}.")
