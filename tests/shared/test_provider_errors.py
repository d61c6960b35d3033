"""Token counts, delays and refusals, read from what any provider may say."""

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
def test_a_wait_is_a_number_or_nothing(headers: dict[str, str], seconds: float | None) -> None:
    """What cannot be waited for, endless or no number, never gets into a header or a row."""
    assert retry_after_seconds(headers) == seconds


def test_a_wait_may_be_a_date() -> None:
    """HTTP allows a moment instead of seconds."""
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
    """Nobody earns money with negative tokens or claims more than a row can hold; nonsense is left to an estimate."""
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
def test_an_empty_account_is_told_from_a_busy_provider(status: int, code: str | None, kind: type) -> None:
    """Both may be a 429; only one of them passes by itself."""
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
def test_a_model_that_is_not_served_is_told_from_a_wrong_request(status: int, code: str, kind: type) -> None:
    """Only the former counts against the model and is tried elsewhere: a prompt cannot provoke it."""
    error = error_for_status("openai", status, code=code)
    assert type(error) is kind
    assert (error.is_fault, error.may_succeed_elsewhere) == (kind is ModelUnavailable, kind is not ProviderRefused)


def test_one_busy_model_does_not_close_its_provider_for_long() -> None:
    """A delay of an hour is told to the caller; the circuit opens for a minute at most."""
    error = error_for_status("google", 429, retry_after=3600)
    assert (error.retry_after_seconds, error.open_seconds) == (3600, 60)
