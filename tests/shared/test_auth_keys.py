"""Signing keys: fetched once, cached, and used while their server is down. And the cache of verified tokens."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from shared.auth import Verifier
from shared.errors import KeysUnavailable, Unauthenticated
from tests.fakes.supabase import PERSON_ID, Project, SigningKey, signing_key

pytestmark = pytest.mark.anyio
OTHER = signing_key("ES256", "other")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.passed = 0.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.passed

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic() + self.passed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the verifier."""
    clock = Clock()
    monkeypatch.setattr("shared.auth.time", clock)
    return clock


async def test_concurrent_requests_fetch_the_keys_once(project: Project) -> None:
    """Fifty tokens cause one fetch."""
    verifier = Verifier()
    tokens = [project.token(sub=str(uuid.uuid4())) for _ in range(50)]
    await asyncio.gather(*(verifier.verify(token) for token in tokens))
    assert project.keys_asked == 1


async def test_concurrent_requests_share_one_slow_failure(project: Project, clock: Clock) -> None:
    """Requests that waited for a failed fetch fail with it, without fetches of their own."""
    project.keys_status = 503

    def take_three_seconds() -> None:
        clock.passed += 3

    project.before_keys = take_three_seconds
    verifier, token = Verifier(), project.token()
    results = await asyncio.gather(*(verifier.verify(token) for _ in range(50)), return_exceptions=True)
    assert {type(each) for each in results} == {KeysUnavailable}
    assert project.keys_asked == 1


async def test_unknown_keys_cause_one_fetch_per_30_seconds(project: Project, clock: Clock) -> None:
    """A new key is found by that fetch, however many tokens have unknown keys."""
    verifier = Verifier()
    await verifier.verify(project.token())
    project.keys.append(OTHER.listed)
    with pytest.raises(Unauthenticated):
        await verifier.verify(project.token(OTHER))
    assert project.keys_asked == 1
    clock.passed = 31
    assert (await verifier.verify(project.token(OTHER))).id == PERSON_ID
    assert project.keys_asked == 2
    for number in range(5):
        with pytest.raises(Unauthenticated):
            await verifier.verify(project.token(SigningKey(f"made-up-{number}", "ES256", OTHER.private, {})))
    assert project.keys_asked == 2


async def test_a_withdrawn_key_is_rejected_after_ten_minutes(project: Project, clock: Clock) -> None:
    """The keys are fetched again, and tokens of missing keys are rejected."""
    verifier = Verifier()
    project.keys.append(OTHER.listed)
    await verifier.verify(project.token(OTHER))
    project.keys.pop()
    clock.passed = 601
    with pytest.raises(Unauthenticated):
        await verifier.verify(project.token(OTHER, sub=str(uuid.uuid4())))


async def test_stale_keys_serve_for_a_day(project: Project, clock: Clock) -> None:
    """While the key server is down, old keys verify tokens for a day, then requests fail with 503."""
    verifier = Verifier()
    await verifier.verify(project.token())
    project.keys_status = 500
    clock.passed = 80_000
    assert (await verifier.verify(project.token(sub=str(uuid.uuid4())))).id
    assert project.keys_asked == 2
    clock.passed = 90_000
    with pytest.raises(KeysUnavailable) as caught:
        await verifier.verify(project.token(sub=str(uuid.uuid4())))
    assert caught.value.retry_after_seconds == 5


@pytest.mark.parametrize("keys", [None, [None], ["text"], {"key-1": {}}, 5], ids=str)
async def test_without_any_keys_requests_get_503(project: Project, keys: Any) -> None:
    """A token cannot be checked without keys, so it is not a 401."""
    project.keys = keys
    project.keys_status = 500 if keys is None else 200
    with pytest.raises(KeysUnavailable):
        await Verifier().verify(project.token())


async def test_keys_are_fetched_a_second_after_a_first_failure(project: Project, clock: Clock) -> None:
    """A key server that recovers is used again."""
    verifier = Verifier()
    project.keys_status = 500
    with pytest.raises(KeysUnavailable):
        await verifier.verify(project.token())
    project.keys_status, clock.passed = 200, 2
    assert (await verifier.verify(project.token())).id == PERSON_ID


@pytest.mark.parametrize(
    "odd",
    [
        {"kty": "oct", "kid": "odd", "k": "AAAA"},
        {"kty": "EC", "crv": "P-256", "kid": "odd", "x": "!!!", "y": "AA"},
        {"kty": "RSA", "kid": "odd", "n": "AQAB", "e": "AQAB", "alg": ["RS256"]},
        {"kty": "new", "kid": "odd"},
        signing_key("ES256", "odd").listed | {"use": "enc"},
        {"kty": "EC"},
    ],
    ids=str,
)
async def test_a_broken_key_does_not_affect_the_others(project: Project, odd: dict[str, Any]) -> None:
    """It is ignored, and tokens of the other keys are accepted."""
    project.keys.insert(0, odd)
    verifier = Verifier()
    assert (await verifier.verify(project.token())).id == PERSON_ID
    with pytest.raises(Unauthenticated):
        await verifier.verify(project.token(signing_key("ES256", "odd")))


@pytest.mark.parametrize(("seconds", "cached", "expired"), [(3600, 59, 61), (20, 19, 21)])
async def test_a_verified_token_is_cached_for_a_minute_but_not_beyond_its_expiry(
    project: Project, environ: Callable[..., None], clock: Clock, seconds: int, cached: int, expired: int
) -> None:
    """A cached token is not checked again; afterwards all rules apply, here those of another project."""
    verifier, token = Verifier(), project.token(exp=int(time.time()) + seconds)
    person = await verifier.verify(token)
    environ(SUPABASE_URL="https://elsewhere.example")
    clock.passed = cached - 1
    assert await verifier.verify(token) is person
    clock.passed = expired
    with pytest.raises(Unauthenticated):
        await verifier.verify(token)


async def test_the_token_cache_has_a_limit(project: Project) -> None:
    """A full cache is emptied."""
    verifier = Verifier()
    verifier.max_cached = 3
    first = project.token(sub=str(uuid.uuid4()))
    person = await verifier.verify(first)
    for _ in range(3):
        await verifier.verify(project.token(sub=str(uuid.uuid4())))
    again = await verifier.verify(first)
    assert again == person
    assert again is not person
