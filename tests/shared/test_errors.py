"""The tree of errors."""

from __future__ import annotations

import pytest

from shared.errors import (
    BY_CODE,
    Conflict,
    IdempotencyMismatch,
    InternalError,
    ModelNotFound,
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
def test_every_error_has_a_status_and_a_code(kind: type[ParleyError]) -> None:
    """The status is 4xx or 5xx, the code lowercase words."""
    assert 400 <= kind.status <= 599
    assert kind.code.replace("_", "").isalpha()
    assert kind.code.islower()


def test_a_code_finds_its_class() -> None:
    """BY_CODE has the class of each code that the database raises."""
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
    """A handler of the wider class catches the narrower, and their codes differ."""
    assert issubclass(narrow, wide)
    assert narrow.code != wide.code


def test_a_provider_error_has_the_circuits_time() -> None:
    """The upstream status and the time of the open circuit are attributes of the error."""
    error = ProviderOverloaded("busy", upstream_status=429, retry_after_seconds=3, open_seconds=3)
    assert (error.status, error.upstream_status, error.retry_after_seconds, error.open_seconds) == (503, 429, 3, 3)
    assert str(error) == error.message == "busy"


def test_two_errors_never_share_their_metadata() -> None:
    """An entry in one error's metadata is not in the next one's."""
    first, second = InternalError("a"), InternalError("b")
    first.metadata["seen"] = True
    first.headers["X-Seen"] = "1"
    assert second.metadata == {}
    assert second.headers == {}


def test_an_unknown_model_is_the_fault_of_its_field() -> None:
    """`param` is `model` wherever a model is not found, unless another field named it."""
    assert (ModelNotFound("x").param, ModelNotFound("x", param="identifier").param) == ("model", "identifier")
