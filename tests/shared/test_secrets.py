"""Secrets that a store keeps: under the environment, cached, renewed when a key is refused, stale rather than none."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as PathRoute

from shared import endpoint, gateway
from shared import secrets as secrets_module
from shared.config import set_fallback_environment, settings
from shared.endpoint import answer, routes
from shared.errors import DependencyDown, NotConfigured, ProviderAuthFailed
from shared.events import Finish, Text, Usage
from shared.routes import Route, RouteChosen
from shared.secrets import Secrets, fetch
from tests.account import Account, serving_account
from tests.asgi import Caller, request_of
from tests.openai_host import OpenAiHost, said, sse
from tests.providers import exchange_over, spoken

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("sessions")]
_ROUTE = Route("openai:gpt-4o", "openai", "gpt-4o", 77)
_STORED = "the-stored-secret"


@dataclass
class _Store:
    """What a store says: `values`, or its failure while it is `down`."""

    values: dict[str, str] = field(default_factory=lambda: {"OPENAI_API_KEY": _STORED})
    is_down: bool = False
    is_hanging: bool = False
    asked: list[str] = field(default_factory=list)

    async def fetch(self, source: str) -> dict[str, str]:
        """As `secrets.fetch` does."""
        self.asked.append(source)
        await asyncio.sleep(0)
        if self.is_hanging:
            await asyncio.Event().wait()
        if self.is_down:
            raise DependencyDown("The secrets cannot be fetched right now.") from TimeoutError()
        return dict(self.values)


@pytest.fixture
def store() -> _Store:
    """A store of this test's own."""
    return _Store()


@pytest.fixture
def secrets(environ: Callable[..., None], store: _Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Secrets]:
    """Secrets of that store, in use at the door and between calls; everything is stale at once."""
    environ(SECRETS_SOURCE="ssm:/parley/test/")
    kept = Secrets(store.fetch)
    kept.ttl_seconds = kept.retry_seconds = -1.0
    monkeypatch.setattr(endpoint, "secrets", kept)
    monkeypatch.setattr(gateway, "secrets", kept)
    yield kept
    set_fallback_environment({})


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """An account whose store holds more parameters than fit a page."""
    with serving_account() as running:
        running.put_secrets("/parley/many/", **{f"NAME_{number}": f"value-{number}" for number in range(25)})
        running.put_secrets("/parley/many/deeper/", NOT_OURS="x")
        running.put_secrets("/parley/many-others/", NOT_OURS="x")
        yield running


async def test_all_parameters_right_under_the_path_come_decrypted(
    environ: Callable[..., None], account: Account
) -> None:
    """Page by page, and nothing of the folders beside and below."""
    environ(**account.environ)
    found = await fetch("ssm:/parley/many/")
    assert found == {f"NAME_{number}": f"value-{number}" for number in range(25)}
    assert await fetch("ssm:/parley/none/") == {}


@pytest.mark.parametrize("source", ["ssm", "ssm:parley/", "vault:/parley/", "/parley/"])
async def test_a_source_of_another_kind_is_refused(environ: Callable[..., None], source: str) -> None:
    """The variable is named to whoever set it."""
    environ(SECRETS_SOURCE=source)
    with pytest.raises(NotConfigured, match="SECRETS_SOURCE"):
        await fetch(source)


@pytest.fixture
async def broken_store(environ: Callable[..., None]) -> AsyncIterator[list[web.Response]]:
    """A store that gives these answers, one each."""
    answers: list[web.Response] = []

    async def say(_request: web.Request) -> web.Response:
        return answers.pop(0)

    app = web.Application()
    app.router.add_post("/", say)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    environ(AWS_ENDPOINT_URL=url, AWS_REGION="us-east-1", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret-key")
    yield answers
    await runner.cleanup()


@pytest.mark.parametrize(
    "said",
    [
        (400, '{"__type": "AccessDeniedException", "message": "arn:… with secret-key"}'),
        (302, ""),
        (200, "<html>secret-key</html>"),
        (200, '{"Parameters": [{"Value": "secret-key"}]}'),
        (200, '{"Parameters": "secret-key"}'),
        (200, "[]"),
        (200, "[" * 100_000),
    ],
)
async def test_a_store_that_talks_nonsense_is_down_and_its_words_stay_with_us(
    broken_store: list[web.Response], said: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the error nor anything it is made of repeats a value."""
    broken_store.append(web.Response(status=said[0], text=said[1]))
    with pytest.raises(DependencyDown) as caught:
        await fetch("ssm:/parley/test/")
    assert "secret-key" not in f"{caught.value!r} {caught.value.metadata} {caught.value.__cause__!r}"
    assert capsys.readouterr().out == ""


_PAGE = (200, '{"Parameters": [{"Name": "/parley/test/CRON_SECRET", "Value": "there"}]}')
_BUSY = (400, '{"__type": "com.amazonaws.ssm#ThrottlingException", "message": "Rate exceeded"}')
_DENIED = (400, '{"__type": "AccessDeniedException", "message": "no"}')


@pytest.mark.parametrize(
    ("answers", "is_had", "asked"),
    [
        ([_BUSY, _PAGE], True, 2),
        ([(500, ""), (429, "{}"), _PAGE], True, 3),
        ([_BUSY, _BUSY, _BUSY, _PAGE], False, 3),
        ([_DENIED, _PAGE], False, 1),
    ],
)
async def test_a_store_that_is_busy_is_asked_again(
    broken_store: list[web.Response],
    monkeypatch: pytest.MonkeyPatch,
    answers: list[tuple[int, str]],
    is_had: bool,
    asked: int,
) -> None:
    """Twice more within the same three seconds: a crowd of new instances finds its secrets. A refusal stands."""
    monkeypatch.setattr(secrets_module, "_PAUSE_SECONDS", 0.0)
    broken_store.extend(web.Response(status=status, text=text) for status, text in answers)
    if is_had:
        assert await fetch("ssm:/parley/test/") == {"CRON_SECRET": "there"}
    else:
        with pytest.raises(DependencyDown):
            await fetch("ssm:/parley/test/")
    assert len(answers) - len(broken_store) == asked


async def test_a_store_that_hangs_up_is_asked_again(
    broken_store: list[web.Response], environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that an instance kept while it was frozen is dead when it thaws."""
    monkeypatch.setattr(secrets_module, "_PAUSE_SECONDS", 0.0)
    broken_store.append(web.Response(text=_PAGE[1]))
    url = settings().get("AWS_ENDPOINT_URL")
    real = secrets_module._ask  # noqa: SLF001 - the first of its calls meets a dead line
    refused: list[object] = []

    async def ask(asked: dict[str, object]) -> object:
        environ(AWS_ENDPOINT_URL=url if refused else "http://127.0.0.1:9")
        refused.append(asked)
        return await real(asked)

    monkeypatch.setattr(secrets_module, "_ask", ask)
    assert await fetch("ssm:/parley/test/") == {"CRON_SECRET": "there"}
    assert len(refused) == 2


async def test_what_is_no_text_is_no_variable(broken_store: list[web.Response]) -> None:
    """It is left out; the others count."""
    listed = [{"Name": "/p/A", "Value": 1}, {"Name": "/p/B", "Value": None}, {"Name": "/p/C", "Value": "c"}]
    broken_store.append(web.json_response({"Parameters": listed}))
    assert await fetch("ssm:/p/") == {"C": "c"}


@pytest.mark.parametrize("path", ["/store", "/?a=b", "//"])
async def test_an_address_that_we_would_sign_wrongly_is_refused(environ: Callable[..., None], path: str) -> None:
    """The signature is for `/`; the variable is named instead of a refusal nobody understands."""
    environ(AWS_REGION="r", AWS_ENDPOINT_URL=f"http://127.0.0.1:9{path}")
    with pytest.raises(NotConfigured, match="AWS_ENDPOINT_URL"):
        await fetch("ssm:/parley/test/")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (_DENIED, {"error": "RefusedError", "status": 400, "code": "AccessDeniedException"}),
        (
            (400, '{"__type": "com.amazonaws.ssm#ValidationException", "message": "secret-key"}'),
            {"error": "RefusedError", "status": 400, "code": "ValidationException"},
        ),
        ((403, '{"__type": "secret key!"}'), {"error": "RefusedError", "status": 403, "code": ""}),
        ((302, "secret-key"), {"error": "RefusedError", "status": 302, "code": ""}),
        ((200, "<html>secret-key"), {"error": "JSONDecodeError"}),
        ((200, '{"Parameters": []}'), {"error": "NoParameters"}),
    ],
)
async def test_the_log_says_why_there_are_no_secrets(
    broken_store: list[web.Response],
    environ: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    answer: tuple[int, str],
    told: dict[str, object],
) -> None:
    """Status and machine code, by which a missing permission is told from a wrong path; never the store's words."""
    environ(SECRETS_SOURCE="ssm:/parley/test/")
    broken_store.append(web.Response(status=answer[0], text=answer[1]))
    await asyncio.gather(Secrets(fetch).ready(), return_exceptions=True)
    written = capsys.readouterr().out
    line = json.loads(written)
    assert {name: line[name] for name in line if name not in {"at", "event", "is_stale"}} == told
    assert (line["event"], line["is_stale"]) == ("secrets_failed", False)
    assert "secret" not in written.replace("secrets_failed", "")


async def test_the_environment_comes_first(secrets: Secrets, store: _Store, environ: Callable[..., None]) -> None:
    """What is set here stays; what is unset or empty here is the store's."""
    store.values = {"OPENAI_API_KEY": _STORED, "HF_TOKEN": _STORED, "CRON_SECRET": _STORED}
    environ(OPENAI_API_KEY="mine", HF_TOKEN=" ")
    await secrets.ready()
    assert settings().key("OPENAI_API_KEY") == "mine"
    assert settings().key("HF_TOKEN") == settings().get("CRON_SECRET") == _STORED
    assert _STORED not in repr(settings())


async def test_without_a_source_nobody_is_asked(secrets: Secrets, store: _Store, environ: Callable[..., None]) -> None:
    """Where the host puts secrets into the environment there is nothing to fetch."""
    environ(SECRETS_SOURCE="")
    await secrets.ready()
    assert not await secrets.changed_since(0.0)
    assert store.asked == []


async def test_fresh_secrets_are_not_asked_for_again(secrets: Secrets, store: _Store) -> None:
    """Nor twice by callers who come at the same time."""
    secrets.ttl_seconds = 60.0
    await asyncio.gather(*(secrets.ready() for _ in range(5)))
    await secrets.ready()
    assert len(store.asked) == 1


async def test_a_rotated_secret_arrives_when_the_old_one_has_aged(secrets: Secrets, store: _Store) -> None:
    """Without a deployment; one that was deleted is gone, too."""
    store.values["CRON_SECRET"] = "old"
    await secrets.ready()
    store.values = {"OPENAI_API_KEY": "new"}
    await secrets.ready()
    assert (settings().get("OPENAI_API_KEY"), settings().get("CRON_SECRET")) == ("new", "")


async def test_old_secrets_serve_while_the_store_is_away(
    secrets: Secrets, store: _Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line tells of it, without a value; afterwards the store's new ones count."""
    await secrets.ready()
    store.is_down = True
    await secrets.ready()
    assert settings().get("OPENAI_API_KEY") == _STORED
    told = json.loads(capsys.readouterr().out)
    assert (told["event"], told["error"], told["is_stale"]) == ("secrets_failed", "TimeoutError", True)
    store.is_down, store.values = False, {"OPENAI_API_KEY": "new"}
    await secrets.ready()
    assert settings().get("OPENAI_API_KEY") == "new"


async def test_a_store_that_has_nothing_any_more_takes_nothing(
    secrets: Secrets, store: _Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that was mistyped or emptied is no rotation: what was good goes on serving, and the log says so."""
    await secrets.ready()
    store.values = {}
    await secrets.ready()
    assert settings().get("OPENAI_API_KEY") == _STORED
    told = json.loads(capsys.readouterr().out)
    assert (told["event"], told["error"], told["is_stale"]) == ("secrets_failed", "NoParameters", True)


async def test_a_store_that_never_had_any_is_asked_again_soon(secrets: Secrets, store: _Store) -> None:
    """The environment may have them all; whoever puts them there after deploying need not wait for minutes."""
    secrets.ttl_seconds, values = 300.0, store.values
    store.values = {}
    await secrets.ready()
    store.values = values
    await secrets.ready()
    assert settings().get("OPENAI_API_KEY") == _STORED


async def test_a_hanging_store_holds_nobody_up_who_has_secrets(
    secrets: Secrets, store: _Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """One turn waits for a moment, the others not even that."""
    await secrets.ready()
    store.is_hanging, secrets.stale_seconds = True, 0.01
    await secrets.ready()
    assert not await secrets.changed_since(time.monotonic())
    assert settings().get("OPENAI_API_KEY") == _STORED
    assert {json.loads(line)["error"] for line in capsys.readouterr().out.splitlines()} == {"TimeoutError"}


async def test_a_request_is_told_to_come_back_when_there_were_never_any(secrets: Secrets, store: _Store) -> None:
    """Nothing can be done without; the next request asks again, and health is told without the store."""
    store.is_down = True

    async def handler(_request: Request) -> Response:
        return JSONResponse({"key": settings().get("OPENAI_API_KEY")})

    table = routes({"GET /": handler, "GET /health": handler})
    assert (await _status(table, "/"), await _status(table, "/health"), len(store.asked)) == (503, 200, 1)
    store.is_down = False
    secrets._fresh_until = float("-inf")  # noqa: SLF001 - as a second later
    assert await _status(table, "/") == 200


async def _status(table: list[PathRoute], path: str) -> int:
    return (await answer(request_of(Caller(), "GET", path), table)).status_code


@pytest.fixture
def refused_once(host: OpenAiHost) -> OpenAiHost:
    """A provider that refuses the first key and takes the second."""
    host.script = [(401, [sse({"error": {"message": "bad key"}})]), (200, [said("Hello")])]
    return host


async def test_a_turn_with_a_key_that_was_replaced_is_answered_with_the_new_one(
    secrets: Secrets, store: _Store, refused_once: OpenAiHost, environ: Callable[..., None]
) -> None:
    """The person notices nothing; the row tells of both calls."""
    environ(OPENAI_API_KEY="", SECRETS_SOURCE="ssm:/parley/test/")
    await secrets.ready()
    store.values = {"OPENAI_API_KEY": "the-new-secret"}
    exchange = exchange_over(_ROUTE)
    assert await spoken(exchange) == ([RouteChosen(_ROUTE, 0), Text("Hello"), Usage(10, 5), Finish("stop")], None)
    keys = [each.headers["authorization"] for each in refused_once.received]
    assert keys == [f"Bearer {_STORED}", "Bearer the-new-secret"]
    assert [attempt.ok for attempt in exchange.attempts] == [False, True]


@pytest.mark.parametrize("is_down", [False, True])
async def test_a_key_that_was_refused_and_not_replaced_fails_its_turn(
    secrets: Secrets, store: _Store, refused_once: OpenAiHost, environ: Callable[..., None], is_down: bool
) -> None:
    """The store is asked once, and the provider is not asked again."""
    environ(OPENAI_API_KEY="", SECRETS_SOURCE="ssm:/parley/test/")
    await secrets.ready()
    store.is_down = is_down
    events, error = await spoken(exchange_over(_ROUTE))
    assert (events, type(error)) == ([], ProviderAuthFailed)
    assert (len(refused_once.received), len(store.asked)) == (1, 2)


async def test_a_wrong_key_does_not_send_every_turn_to_the_store(secrets: Secrets, store: _Store) -> None:
    """After one look nobody looks again for a while; who began before a change hears of it all the same."""
    secrets.retry_seconds = 60.0
    before = time.monotonic()
    await secrets.ready()
    assert await secrets.changed_since(before)
    assert not await secrets.changed_since(time.monotonic())
    assert len(store.asked) == 1
