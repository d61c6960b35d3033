"""Secrets: overridden by the environment, cached, fetched again after a refused key, and used while stale."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as PathRoute

from shared import endpoint, gateway
from shared.config import set_fallback_environment, settings
from shared.endpoint import respond, routes
from shared.errors import DependencyDown, ProviderAuthFailed
from shared.events import Finish, Text, Usage
from shared.routes import Route, RouteChosen
from shared.secrets import Secrets
from tests.asgi import Caller, request_of
from tests.fakes.openai import OpenAiHost, sse, text_chunk
from tests.providers import events_of, session_over

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("sessions")]
_ROUTE = Route("openai:gpt-4o", "openai", "gpt-4o", 77)
_STORED = "the-stored-secret"


@dataclass
class _Store:
    """A store: its `values`, or a failure while `is_down`."""

    values: dict[str, str] = field(default_factory=lambda: {"OPENAI_API_KEY": _STORED})
    is_down: bool = False
    is_hanging: bool = False
    fetched: list[str] = field(default_factory=list)

    async def fetch(self, source: str) -> dict[str, str]:
        """Like `secrets.fetch`."""
        self.fetched.append(source)
        await asyncio.sleep(0)
        if self.is_hanging:
            await asyncio.Event().wait()
        if self.is_down:
            raise DependencyDown("The secrets cannot be fetched right now.") from TimeoutError()
        return dict(self.values)


@pytest.fixture
def store() -> _Store:
    """A new store."""
    return _Store()


@pytest.fixture
def secrets(environ: Callable[..., None], store: _Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Secrets]:
    """The secrets of that store, used by the endpoint and the gateway; they expire at once."""
    environ(SECRETS_SOURCE="ssm:/parley/test/")
    own = Secrets(store.fetch)
    own.ttl_seconds = own.retry_seconds = -1.0
    monkeypatch.setattr(endpoint, "secrets", own)
    monkeypatch.setattr(gateway, "secrets", own)
    yield own
    set_fallback_environment({})


async def test_the_environment_overrides_secrets(secrets: Secrets, store: _Store, environ: Callable[..., None]) -> None:
    """Variables that are unset or empty in the environment have the value of the store."""
    store.values = {"OPENAI_API_KEY": _STORED, "HF_TOKEN": _STORED, "CRON_SECRET": _STORED}
    environ(OPENAI_API_KEY="mine", HF_TOKEN=" ")
    await secrets.ready()
    assert settings().key("OPENAI_API_KEY") == "mine"
    assert settings().key("HF_TOKEN") == settings().get("CRON_SECRET") == _STORED
    assert _STORED not in repr(settings())


async def test_without_a_source_nothing_is_fetched(
    secrets: Secrets, store: _Store, environ: Callable[..., None]
) -> None:
    """Hosts can put secrets into the environment instead."""
    environ(SECRETS_SOURCE="")
    await secrets.ready()
    assert not await secrets.changed_since(0.0)
    assert store.fetched == []


async def test_fresh_secrets_are_not_fetched_again(secrets: Secrets, store: _Store) -> None:
    """Concurrent requests cause one fetch."""
    secrets.ttl_seconds = 60.0
    await asyncio.gather(*(secrets.ready() for _ in range(5)))
    await secrets.ready()
    assert len(store.fetched) == 1


async def test_a_rotated_secret_is_used_after_the_old_one_expires(secrets: Secrets, store: _Store) -> None:
    """Without a deployment; a deleted secret is unset."""
    store.values["CRON_SECRET"] = "old"
    await secrets.ready()
    store.values = {"OPENAI_API_KEY": "new"}
    await secrets.ready()
    assert (settings().get("OPENAI_API_KEY"), settings().get("CRON_SECRET")) == ("new", "")


async def test_old_secrets_serve_while_the_store_is_unreachable(
    secrets: Secrets, store: _Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """The failure is one log line without values; later the new secrets are used."""
    await secrets.ready()
    store.is_down = True
    await secrets.ready()
    assert settings().get("OPENAI_API_KEY") == _STORED
    line = json.loads(capsys.readouterr().out)
    assert (line["event"], line["error"], line["is_stale"]) == ("secrets_failed", "TimeoutError", True)
    store.is_down, store.values = False, {"OPENAI_API_KEY": "new"}
    await secrets.ready()
    assert settings().get("OPENAI_API_KEY") == "new"


async def test_an_empty_store_does_not_unset_secrets(
    secrets: Secrets, store: _Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped or emptied path is no rotation: old secrets stay in use, and a line is logged."""
    await secrets.ready()
    store.values = {}
    await secrets.ready()
    assert settings().get("OPENAI_API_KEY") == _STORED
    line = json.loads(capsys.readouterr().out)
    assert (line["event"], line["error"], line["is_stale"]) == ("secrets_failed", "NoParameters", True)


async def test_a_store_without_secrets_is_fetched_again_soon(secrets: Secrets, store: _Store) -> None:
    """An operator who adds them after a deployment does not wait for minutes."""
    secrets.ttl_seconds, values = 300.0, store.values
    store.values = {}
    await secrets.ready()
    store.values = values
    await secrets.ready()
    assert settings().get("OPENAI_API_KEY") == _STORED


async def test_a_hanging_store_delays_no_request_with_old_secrets(
    secrets: Secrets, store: _Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """One request waits for a moment, the others do not wait."""
    await secrets.ready()
    store.is_hanging, secrets.stale_seconds = True, 0.01
    await secrets.ready()
    assert not await secrets.changed_since(time.monotonic())
    assert settings().get("OPENAI_API_KEY") == _STORED
    assert {json.loads(line)["error"] for line in capsys.readouterr().out.splitlines()} == {"TimeoutError"}


async def test_requests_get_503_until_the_first_secrets(secrets: Secrets, store: _Store) -> None:
    """The next request fetches again; /health needs no secrets."""
    store.is_down = True
    secrets.first_retry_seconds = 0

    async def handler(_request: Request) -> Response:
        return JSONResponse({"key": settings().get("OPENAI_API_KEY")})

    table = routes({"GET /": handler, "GET /health": handler})
    assert (await _status(table, "/"), await _status(table, "/health"), len(store.fetched)) == (503, 200, 1)
    store.is_down = False
    assert await _status(table, "/") == 200


async def _status(table: list[PathRoute], path: str) -> int:
    return (await respond(request_of(Caller(), "GET", path), table)).status_code


@pytest.fixture
def refused_once(host: OpenAiHost) -> OpenAiHost:
    """A provider that rejects the first key and accepts the second."""
    host.script = [(401, [sse({"error": {"message": "bad key"}})]), (200, [text_chunk("Hello")])]
    return host


async def test_a_turn_with_a_replaced_key_is_retried_with_the_new_one(
    secrets: Secrets, store: _Store, refused_once: OpenAiHost, environ: Callable[..., None]
) -> None:
    """The turn succeeds; both calls are recorded."""
    environ(OPENAI_API_KEY="", SECRETS_SOURCE="ssm:/parley/test/")
    await secrets.ready()
    store.values = {"OPENAI_API_KEY": "the-new-secret"}
    session = session_over(_ROUTE)
    assert await events_of(session) == ([RouteChosen(_ROUTE), Text("Hello"), Usage(10, 5), Finish("stop")], None)
    keys = [each.headers["authorization"] for each in refused_once.received]
    assert keys == [f"Bearer {_STORED}", "Bearer the-new-secret"]
    assert [attempt.ok for attempt in session.attempts] == [False, True]


@pytest.mark.parametrize("is_down", [False, True])
async def test_a_key_that_was_refused_and_not_replaced_fails_its_turn(
    secrets: Secrets, store: _Store, refused_once: OpenAiHost, environ: Callable[..., None], is_down: bool
) -> None:
    """The secrets are fetched once, and the provider is not called again."""
    environ(OPENAI_API_KEY="", SECRETS_SOURCE="ssm:/parley/test/")
    await secrets.ready()
    store.is_down = is_down
    events, error = await events_of(session_over(_ROUTE))
    assert (events, type(error)) == ([], ProviderAuthFailed)
    assert (len(refused_once.received), len(store.fetched)) == (1, 2)


async def test_a_wrong_key_does_not_fetch_for_every_turn(secrets: Secrets, store: _Store) -> None:
    """A turn that began before a change still learns of it."""
    secrets.retry_seconds = 60.0
    before = time.monotonic()
    await secrets.ready()
    assert await secrets.changed_since(before)
    assert not await secrets.changed_since(time.monotonic())
    assert len(store.fetched) == 1
