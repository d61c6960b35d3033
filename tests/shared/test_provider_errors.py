"""Delays and errors in the responses of providers."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from shared.errors import (
    ContextLengthExceeded,
    ModelUnavailable,
    ProviderAuthFailed,
    ProviderError,
    ProviderOverloaded,
    ProviderRefused,
)
from shared.providers.provider_errors import error_for_status, error_in_answer, retry_after_seconds
from shared.providers.refusals import Refusal, read_refusal


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": formatdate(0, usegmt=True)}, 0.0),
        ({}, None),
    ],
)
def test_a_delay_is_a_finite_number_or_none(headers: dict[str, str], seconds: float | None) -> None:
    """An infinite or malformed delay gets into no header and no row."""
    assert retry_after_seconds(headers) == seconds


def test_a_delay_may_be_a_date() -> None:
    """HTTP allows a date instead of seconds."""
    delay = retry_after_seconds({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert delay is not None
    assert 90 < delay <= 101


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "insufficient_quota", ProviderAuthFailed),
        (400, "billing_error", ProviderAuthFailed),
        (402, None, ProviderAuthFailed),
        (429, "rate_limit_exceeded", ProviderOverloaded),
        (500, "server_error", ProviderError),
        (400, "invalid_request_error", ProviderRefused),
    ],
)
def test_an_empty_account_differs_from_a_busy_provider(status: int, code: str | None, kind: type) -> None:
    """Both may be a 429; only a busy provider recovers by itself."""
    error = error_for_status("openai", status, refusal=Refusal((code,) if code else ()))
    assert type(error) is kind
    assert (error.open_seconds is not None) == (kind is ProviderAuthFailed)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "model_not_found", ModelUnavailable),
        (403, "unsupported_country_region_territory", ModelUnavailable),
        (404, None, ModelUnavailable),
        (400, "model_decommissioned", ModelUnavailable),
        (400, "FAILED_PRECONDITION", ModelUnavailable),
        (403, "content_policy_violation", ProviderRefused),
        (400, "content_filter", ProviderRefused),
        (400, "context_length_exceeded", ContextLengthExceeded),
        (403, "insufficient_quota", ProviderAuthFailed),
    ],
)
def test_an_unavailable_model_differs_from_a_wrong_request(status: int, code: str, kind: type) -> None:
    """Only an unavailable model counts against the model and falls back, as no prompt can cause it."""
    error = error_for_status("openai", status, refusal=Refusal((code,) if code else ()))
    assert type(error) is kind
    assert (error.is_fault, error.may_succeed_elsewhere) == (
        kind is ModelUnavailable,
        kind in {ModelUnavailable, ProviderAuthFailed},
    )


def test_one_busy_model_opens_the_circuit_for_a_minute_at_most() -> None:
    """The client gets the full delay; the circuit of the provider opens for at most a minute."""
    error = error_for_status("google", 429, retry_after=3600)
    assert (error.retry_after_seconds, error.open_seconds) == (3600, 60)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"error": {"message": "Your credit balance is too low to go on."}}', ProviderAuthFailed),
        (403, b'{"error": "Your team does not have any credits yet."}', ProviderAuthFailed),
        (429, b'{"code": "1113", "message": "top up"}', ProviderAuthFailed),
        (400, b'{"error": {"message": "Incorrect API key provided: xy***"}}', ProviderAuthFailed),
        (400, b'{"error": {"message": "We read: your credit balance is too low"}}', ProviderRefused),
        (400, b'{"message": "Model old-1 is no longer available"}', ModelUnavailable),
        (400, b'{"error": {"message": "Model Not Exist", "type": "invalid_request_error"}}', ModelUnavailable),
        (400, b'[{"error": {"code": 400, "status": "FAILED_PRECONDITION"}}]', ModelUnavailable),
        (400, b'{"error": {"message": "prompt is too long: 9 tokens > 8 maximum"}}', ContextLengthExceeded),
        (400, b'{"object": "error", "message": "This model\'s maximum context length is 9"}', ContextLengthExceeded),
        (422, b'{"error": "`inputs` tokens + `max_new_tokens` must be <= 9"}', ContextLengthExceeded),
        (400, b'{"error": {"type": "exceed_context_size_error"}}', ContextLengthExceeded),
        (413, b'{"error": {"type": "request_too_large"}}', ContextLengthExceeded),
        (429, b'{"error": {"message": "too many tokens for the context window"}}', ProviderOverloaded),
        (400, b'{"detail": "schema is not valid"}', ProviderRefused),
        (400, b"<html>", ProviderRefused),
        (400, b"[]", ProviderRefused),
        (400, b'{"error": {"code": 5}}', ProviderRefused),
    ],
)
def test_a_refusal_is_understood_in_every_shape(status: int, body: bytes, kind: type) -> None:
    """Codes and the beginnings of messages say who has to act; a message that quotes the request says nothing."""
    assert type(error_for_status("huggingface", status, refusal=read_refusal(body))) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "busy"}, ProviderOverloaded),
        ("busy", ProviderOverloaded),
        ({"message": "busy", "code": 429}, ProviderOverloaded),
        ({"message": "busy", "code": "429"}, ProviderOverloaded),
        ({"message": "no credit", "code": 402}, ProviderAuthFailed),
        ({"message": "odd", "code": True}, ProviderOverloaded),
        ({"message": "m", "type": "insufficient_quota", "code": None}, ProviderAuthFailed),
        ({"message": "m", "code": "context_length_exceeded"}, ContextLengthExceeded),
        ({"message": "m", "code": "model_not_found"}, ModelUnavailable),
    ],
)
def test_an_error_inside_the_stream_is_an_overload_unless_it_says_more(error: Any, kind: type) -> None:
    """Hosts that answered 200 send errors as data, some with a status or a code."""
    assert type(error_in_answer("huggingface", error)) is kind


def test_a_refusal_has_the_providers_reason() -> None:
    """The sentence without secrets, addresses and account ids, on one line and cut."""
    reason = "Invalid value for 'top_p'.\nSee https://internal.example/x; org-abcdef123, key sk-proj-" + "a1B2" * 12
    error = error_for_status("openai", 400, refusal=Refusal(("invalid_value",), reason))
    assert error.message.startswith("The provider openai refused this request: Invalid value for 'top_p'. See […]")
    assert not any(secret in error.message for secret in ("internal.example", "org-abc", "a1B2a1B2"))
    assert error.upstream_code == "invalid_value"
    assert len(error_for_status("openai", 400, refusal=Refusal(message="word " * 1000)).message) < 400


@pytest.mark.parametrize(("status", "reason"), [(401, "sk-live"), (500, "at line 5"), (400, "<html>")])
def test_other_words_of_a_provider_stay_inside(status: int, reason: str) -> None:
    """Only the refusal of a request has a reason, and only a sentence is one."""
    error = error_for_status("openai", status, refusal=Refusal(("a b",), reason))
    assert error.message.endswith(".")
    assert reason not in error.message
    assert error.upstream_code is None


@pytest.mark.parametrize("reason", ["The context of this tool is wrong.", "Unknown parameter: 'max_prompt'.", ""])
def test_other_refusals_are_not_too_long(reason: str) -> None:
    """Only a conversation that is too long is one."""
    assert Refusal(message=reason).meaning(400) is None
