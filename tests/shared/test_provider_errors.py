"""Token counts, delays and errors in the responses of providers."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from shared.errors import ModelUnavailable, ProviderAuthFailed, ProviderError, ProviderOverloaded, ProviderRefused
from shared.events import Usage
from shared.providers.provider_errors import error_for_status, parse_usage, retry_after_seconds


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
    ("counts", "usage"),
    [
        ((10, 4, 3, 2), Usage(10, 4, 3, 2)),
        ((0, 0, None, None), Usage(0, 0)),
        ((10, 4, 99, 99), Usage(10, 4, 10, 4)),
        ((10, 4, -1, "x"), Usage(10, 4)),
        ((10**30, 1, 0, 0), Usage(100_000_000, 1)),
        ((-5, 1, 0, 0), None),
        ((None, 1, 0, 0), None),
        ((5, "1", 0, 0), None),
        ((True, 1, 0, 0), None),
        ((1.5, 1, 0, 0), None),
    ],
)
def test_counts_are_bounded_or_none(counts: tuple[Any, ...], usage: Usage | None) -> None:
    """Negative counts are ignored, huge ones limited, and wrong ones left to an estimate."""
    assert parse_usage(*counts) == usage


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
    error = error_for_status("openai", status, code=code)
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
        (400, "context_length_exceeded", ProviderRefused),
        (403, "insufficient_quota", ProviderAuthFailed),
    ],
)
def test_an_unavailable_model_differs_from_a_wrong_request(status: int, code: str, kind: type) -> None:
    """Only an unavailable model counts against the model and falls back, as no prompt can cause it."""
    error = error_for_status("openai", status, code=code)
    assert type(error) is kind
    assert (error.is_fault, error.may_succeed_elsewhere) == (kind is ModelUnavailable, kind is not ProviderRefused)


def test_one_busy_model_opens_the_circuit_for_a_minute_at_most() -> None:
    """The client gets the full delay; the circuit of the provider opens for at most a minute."""
    error = error_for_status("google", 429, retry_after=3600)
    assert (error.retry_after_seconds, error.open_seconds) == (3600, 60)


def test_a_refusal_has_the_providers_reason() -> None:
    """The sentence without secrets, addresses and account ids, on one line and cut."""
    reason = "Invalid value for 'top_p'.\nSee https://internal.example/x; org-abcdef123, key sk-proj-" + "a1B2" * 12
    error = error_for_status("openai", 400, code="invalid_value", reason=reason)
    assert error.message.startswith("The provider openai refused this request: Invalid value for 'top_p'. See […]")
    assert not any(secret in error.message for secret in ("internal.example", "org-abc", "a1B2a1B2"))
    assert error.upstream_code == "invalid_value"
    assert len(error_for_status("openai", 400, reason="word " * 1000).message) < 400


@pytest.mark.parametrize(("status", "reason"), [(401, "sk-live"), (500, "at line 5"), (400, "<html>"), (400, {"a": 1})])
def test_other_words_of_a_provider_stay_inside(status: int, reason: object) -> None:
    """Only the refusal of a request has a reason, and only a sentence is one."""
    error = error_for_status("openai", status, reason=reason, code="a b")
    assert error.message.endswith(".")
    assert str(reason) not in error.message
    assert error.upstream_code is None


@pytest.mark.parametrize("reason", ["The context of this tool is wrong.", "Unknown parameter: 'max_prompt'.", None])
def test_other_refusals_are_no_overflow(reason: str | None) -> None:
    """Only a conversation that is too long is one."""
    assert not error_for_status("openai", 400, reason=reason).is_overflow
