"""The tree of failures."""

from __future__ import annotations

import pytest

from shared.errors import (
    BY_CODE,
    Conflict,
    IdempotencyMismatch,
    InternalError,
    NotConfigured,
    ParleyError,
    ProviderError,
    ProviderOverloaded,
    QuotaExceeded,
    RequestInProgress,
    Unprocessable,
)

TREE = list(BY_CODE.values())


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.code)
def test_every_error_is_an_http_failure_with_a_machine_code(kind: type[ParleyError]) -> None:
    """Each class has a status of 4xx or 5xx and a code of lowercase words."""
    assert 400 <= kind.status <= 599
    assert kind.code.replace("_", "").isalpha()
    assert kind.code.islower()


def test_a_code_finds_its_class() -> None:
    """The words of the database find the class that carries their status."""
    assert BY_CODE["quota_exceeded"] is QuotaExceeded
    assert BY_CODE["internal_error"] is InternalError


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (RequestInProgress, Conflict),
        (IdempotencyMismatch, Unprocessable),
        (NotConfigured, InternalError),
        (ProviderOverloaded, ProviderError),
    ],
)
def test_a_narrower_error_keeps_its_own_code(narrow: type[ParleyError], wide: type[ParleyError]) -> None:
    """Whoever catches the wider class catches the narrower too, and their codes differ."""
    assert issubclass(narrow, wide)
    assert narrow.code != wide.code


def test_a_provider_error_tells_the_circuit_what_to_do() -> None:
    """What the upstream said and how long to leave it alone travel with the error."""
    error = ProviderOverloaded("busy", upstream_status=429, retry_after_seconds=3, open_seconds=3)
    assert (error.status, error.upstream_status, error.retry_after_seconds, error.open_seconds) == (503, 429, 3, 3)
    assert str(error) == error.message == "busy"


def test_two_errors_never_share_their_metadata() -> None:
    """What is added to one error's metadata is not seen in the next."""
    first, second = InternalError("a"), InternalError("b")
    first.metadata["seen"] = True
    first.headers["X-Seen"] = "1"
    assert second.metadata == {}
    assert second.headers == {}
