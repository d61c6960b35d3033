"""What a provider's refusal means: by its machine codes, else by how its message begins."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

Meaning = Literal["account", "not_served", "too_long", "policy"]

_CODES_OF: dict[Meaning, tuple[str, ...]] = {
    "account": (
        *("insufficient_quota", "billing_error", "billing_hard_limit_reached", "billing_not_active"),
        *("insufficient_balance", "insufficient_credits", "exceeded_current_quota_error", "arrearage"),
        *("accountoverdueerror", "account_deactivated", "billing_disabled", "consumer_suspended"),
        *("invalid_api_key", "api_key_invalid", "api_key_expired", "1113"),
    ),
    # A model that is retired, unknown, or not served to our account or region, by OpenAI and Groq, Groq, Mistral,
    # Hugging Face, Together, Gemini, Azure.
    "not_served": (
        *("model_not_found", "model_decommissioned", "invalid_model", "model_not_supported"),
        *("model_not_available", "model_deprecated", "model_retired", "model_terminated", "failed_precondition"),
        *("unsupported_country_region_territory", "deploymentnotfound", "1211"),
    ),
    "too_long": (
        *("context_length_exceeded", "exceed_context_size_error", "string_above_max_length"),
        *("request_too_large", "model_context_window_exceeded", "max_context_length_exceeded"),
        "model_max_prompt_tokens_exceeded",
    ),
    "policy": ("content_filter", "content_policy_violation", "moderation_blocked", "data_inspection_failed"),
}
_CODES: dict[str, Meaning] = {code: meaning for meaning, codes in _CODES_OF.items() for code in codes}
# A message may quote the request, so only its beginning counts where an account is at stake.
_ACCOUNT = re.compile(
    r"(your credit balance is too low|you have reached your specified api usage limits|insufficient balance"
    r"|(this|your) organization has been disabled|your account is not active|your prepayment credits are depleted"
    r"|incorrect api key provided|api key (not valid|not found|expired)|you exceeded your current quota"
    r"|your (newly created )?(team|account) (doesn't|does not) have any credits)",
    re.IGNORECASE,
)
_NOT_SERVED = re.compile(
    r"(user location is not supported|model not exist|(the )?(requested )?model:? \S{1,200} (is (not|no longer)"
    r"|does ?n[o']t (exist|support)|has been (deprecated|retired|decommissioned|removed|shut down))"
    r"|unable to access model|invalid model|unknown model|\S{1,200} is not a valid model)",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"((maximum|model's) (context|input|prompt) (length|limit)|prompt is too long|exceeds? (the |this (model's )?)?"
    r"(available )?(maximum )?(context (size|window|length|limit)|number of (input )?tokens)|context window"
    r"|inputs?`? tokens \+ `?max_new_tokens`? must be|too large for model with \d+ maximum context"
    r"|input length and `max_tokens` exceed|input token count .{0,40}exceed|context (size|length) exceeded"
    r"|tokens exceed the configured limit)",
    re.IGNORECASE,
)
_TOO_LONG_STATUSES = {400, 413, 422}
_MAX_READ = 300  # characters of a message


@dataclass(frozen=True, slots=True)
class Refusal:
    """The machine codes and the message of an error, both as the provider wrote them."""

    codes: tuple[str, ...] = ()
    message: str = ""

    def meaning(self, status: int) -> Meaning | None:
        """What it means with this HTTP status; None when only the status counts."""
        for code in self.codes:
            if found := _CODES.get(code.lower()):
                return found
        start = self.message[:_MAX_READ].lstrip()
        if status >= 500 or not start:
            return None
        if _ACCOUNT.match(start):
            return "account"
        if status == 400 and _NOT_SERVED.match(start):
            return "not_served"
        return "too_long" if status in _TOO_LONG_STATUSES and _TOO_LONG.search(start) else None


def refusal_in(error: Any) -> Refusal:
    """The refusal in an error of any shape: an object, a sentence, a list of them, or with `error` around it."""
    if isinstance(error, list):
        error = error[0] if error else None
    if isinstance(error, str):
        return Refusal(message=error)
    if not isinstance(error, dict):
        return Refusal()
    inner = error.get("error")
    if isinstance(inner, dict | str | list) and inner:
        return refusal_in(inner)
    codes = tuple(each for name in ("code", "type", "status") if isinstance(each := error.get(name), str) and each)
    words = (error.get(name) for name in ("message", "detail", "msg"))
    return Refusal(codes, next((each for each in words if isinstance(each, str)), ""))


def read_refusal(body: bytes) -> Refusal:
    """The refusal in the body of a response; an empty one for any other body."""
    try:
        return refusal_in(json.loads(body))
    except (ValueError, RecursionError):
        return Refusal()
