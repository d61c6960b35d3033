"""What every provider's answers are read with: token counts, delays, and what a refusal means."""

from __future__ import annotations

import math
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

_MAX_TOKENS = 100_000_000  # more than any model takes; what is claimed beyond it would not fit the ledger
_OUT_OF_CREDIT = {"insufficient_quota", "billing_error", "billing_hard_limit_reached"}
# Codes of a 400, 403, 404 or 410 that say that the model is retired, unknown or not served to our account or region:
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
_AUTH_OPEN_SECONDS = 300.0  # a wrong key or an empty account stays so for minutes
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
"""What reading an answer of the wrong shape may raise, whoever reads it."""
_MAX_PAUSE_SECONDS = 60.0  # of a whole provider because one of its models is busy


def parse_usage(input_tokens: Any, output_tokens: Any, cached: Any = None, reasoning: Any = None) -> Usage | None:
    """Inclusive counts as Usage; None when they are missing or no counts at all, so that they will be estimated."""
    if not _is_count(input_tokens) or not _is_count(output_tokens):
        return None
    known_input, known_output = min(input_tokens, _MAX_TOKENS), min(output_tokens, _MAX_TOKENS)
    return Usage(
        input_tokens=known_input,
        output_tokens=known_output,
        cached_tokens=min(cached, known_input) if _is_count(cached) else 0,
        reasoning_tokens=min(reasoning, known_output) if _is_count(reasoning) else 0,
    )


def _is_count(claimed: Any) -> bool:
    return isinstance(claimed, int) and not isinstance(claimed, bool) and claimed >= 0


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After (or retry-after-ms) asks to wait; None when it says nothing."""
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
    """A number of seconds, at most a day; None for what is none."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return min(max(0.0, seconds), _MAX_DELAY_SECONDS) if math.isfinite(seconds) else None


def error_for_status(
    provider: str, status: int, *, code: str | None = None, retry_after: float | None = None, is_page: bool = False
) -> ProviderError:
    """What a provider's error answer means, by its HTTP status and machine code; its words stay with us.

    `is_page` when the answer is an HTML page: as a 403 it comes from a filter in front of the provider, which a prompt
    can provoke.
    """
    said: dict[str, Any] = {"upstream_status": status, "retry_after_seconds": retry_after}
    if status in {401, 402} or code in _OUT_OF_CREDIT:
        words = f"The provider {provider} does not accept our key or account."
        return ProviderAuthFailed(words, open_seconds=_AUTH_OPEN_SECONDS, **said)
    if status == 403 and (is_page or code in _POLICY):
        refused = ProviderRefused(f"The provider {provider} refused this request.", **said)
        refused.may_succeed_elsewhere = is_page
        return refused
    if status in {403, 404, 410} or (status in {400, 422} and code in _NOT_SERVED):
        return ModelUnavailable(f"The provider {provider} does not serve this model to us.", **said)
    if status in {408, 409, 425, 429, 503, 529}:
        pause = None if retry_after is None else min(retry_after, _MAX_PAUSE_SECONDS)
        return ProviderOverloaded(f"The provider {provider} is overloaded.", open_seconds=pause, **said)
    if status >= 500:
        return ProviderError(f"The provider {provider} failed.", **said)
    return ProviderRefused(f"The provider {provider} refused this request.", **said)


def is_page(headers: Mapping[str, str]) -> bool:
    """Whether an answer is an HTML page."""
    return headers.get("content-type", "").lower().startswith("text/html")


def unreachable(provider: str) -> ProviderUnreachable:
    """The error for a provider without a connection; its circuit opens for 10 seconds."""
    return ProviderUnreachable(f"The provider {provider} could not be reached.", open_seconds=_UNREACHABLE_OPEN_SECONDS)


def malformed_response(provider: str, what: str = "a chat stream") -> ProviderError:
    """The error for an answer that cannot be read."""
    return ProviderError(f"The provider {provider} answered with something that is not {what}.")
