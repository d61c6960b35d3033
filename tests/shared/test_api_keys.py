"""API keys: form, lookup by hash, what an instance remembers, and requests with a key."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from shared import auth
from shared.api_keys import ApiKeys
from shared.auth import authenticate
from shared.errors import DatabaseUnavailable, InsufficientScope, InvalidApiKey, Unauthenticated
from tests.fakes.supabase import PERSON_ID, Project

pytestmark = pytest.mark.anyio
SECRET = "pk_" + 32 * "ab"
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()
PATH = "/rest/v1/rpc/api_key_person"


@pytest.fixture
def keys(project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> ApiKeys:
    """An instance that has just started, and a database that knows the key."""
    environ(SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x")
    project.answers[PATH] = (200, _row())
    instance = ApiKeys()
    monkeypatch.setattr(auth, "api_keys", instance)
    return instance


def _row(**changes: Any) -> dict[str, Any]:
    row = {"key_id": "k", "user_id": PERSON_ID, "scopes": ["chat"], "expires_at": time.time() + 3600}
    return row | changes


def _refused(reason: str) -> tuple[int, dict[str, Any]]:
    details = f'{{"code": "invalid_api_key", "metadata": {{"reason": "{reason}"}}}}'
    return 401, {"code": "PT401", "message": "no", "details": details}


def _request(**headers: str) -> Request:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": sent})


async def test_the_database_is_asked_by_hash_and_once(keys: ApiKeys, project: Project) -> None:
    """The secret is in no request; a second use within the time needs no call."""
    first, second = [await keys.resolve(SECRET) for _ in range(2)]
    assert first == second
    assert (first.user_id, first.scopes) == (PERSON_ID, frozenset({"chat"}))
    assert project.asked_of("api_key_person") == [{"key_hash": DIGEST}]
    assert SECRET not in str(project.asked)
    assert DIGEST not in repr(first)


async def test_requests_at_once_wait_for_few_lookups(keys: ApiKeys, project: Project) -> None:
    """Twenty requests with one key need two calls at most, so invented keys cannot take every connection."""
    found = await asyncio.gather(*(keys.resolve(SECRET) for _ in range(20)))
    assert len(set(found)) == 1
    assert len(project.asked) <= 2


async def test_what_is_remembered_is_read_again(keys: ApiKeys, project: Project) -> None:
    """After the time a revoked key is refused; the refusal is remembered, too."""
    keys.cache_seconds = 0.0
    await keys.resolve(SECRET)
    project.answers[PATH] = _refused("revoked")
    keys.cache_seconds = 60.0
    for _ in range(2):
        with pytest.raises(InvalidApiKey) as caught:
            await keys.resolve(SECRET)
        assert caught.value.metadata == {"reason": "revoked"}
    assert len(project.asked) == 2


async def test_a_key_is_not_remembered_beyond_its_expiry(keys: ApiKeys, project: Project) -> None:
    """A key whose time has ended is looked up at each use."""
    project.answers[PATH] = (200, _row(expires_at=time.time() - 1))
    for _ in range(2):
        await keys.resolve(SECRET)
    assert len(project.asked) == 2


async def test_a_full_cache_begins_again(keys: ApiKeys, project: Project) -> None:
    """The number of remembered keys is bounded: after three others the first is looked up again."""
    keys.max_cached = 2
    project.answers[PATH] = _refused("unknown")
    for number in (0, 1, 2, 0):
        with pytest.raises(InvalidApiKey):
            await keys.resolve(f"pk_{number:064x}")
    assert len(project.asked) == 4


@pytest.mark.parametrize(
    "secret", ["pk_", "pk_x", SECRET[:-1], SECRET + "0", SECRET.upper(), SECRET[:-1] + "ä", "pk_\n"]
)
async def test_another_form_is_refused_without_a_call(keys: ApiKeys, project: Project, secret: str) -> None:
    """What cannot be a key of Parley costs no lookup."""
    with pytest.raises(InvalidApiKey):
        await keys.resolve(secret)
    assert project.asked == []


async def test_a_database_that_is_down_is_no_wrong_key(keys: ApiKeys, project: Project) -> None:
    """503, and the next request asks again."""
    project.answers[PATH] = (503, {"code": "PGRST000"})
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await keys.resolve(SECRET)
    assert len(project.asked) == 2


@pytest.mark.usefixtures("keys")
async def test_a_request_with_a_key_is_its_owners() -> None:
    """In either header; the person has no token and is no admin."""
    for headers in ({"authorization": f"Bearer {SECRET}"}, {"x_api_key": SECRET}):
        person = await authenticate(_request(**headers), "chat")
        assert (person.id, person.token, person.is_admin, person.is_anonymous) == (PERSON_ID, "", False, False)
        assert person.api_key is not None
        assert SECRET not in repr(person)
        assert DIGEST not in repr(person)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("scope", ["models", None])
async def test_a_key_does_only_what_its_scopes_say(scope: str | None) -> None:
    """Another scope, and what no key may do, are refused."""
    with pytest.raises(InsufficientScope):
        await authenticate(_request(x_api_key=SECRET), scope)


@pytest.mark.usefixtures("keys")
async def test_the_authorization_header_comes_first() -> None:
    """A wrong token is not replaced by a key in the other header."""
    with pytest.raises(Unauthenticated):
        await authenticate(_request(authorization="Bearer x.y.z", x_api_key=SECRET), "chat")
