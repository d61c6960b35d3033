"""Fetching secrets from AWS's Parameter Store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from aiohttp import web

from shared import secrets as secrets_module
from shared.config import settings
from shared.errors import DependencyDown, NotConfigured
from shared.secrets import Secrets, fetch
from tests.fakes.aws import Account, serving_account

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("sessions")]


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """An account with more parameters than fit a page."""
    with serving_account() as running:
        running.put_secrets("/parley/many/", **{f"NAME_{number}": f"value-{number}" for number in range(25)})
        running.put_secrets("/parley/many/deeper/", NOT_OURS="x")
        running.put_secrets("/parley/many-others/", NOT_OURS="x")
        yield running


async def test_all_parameters_directly_under_the_path_are_fetched(
    environ: Callable[..., None], account: Account
) -> None:
    """All pages are read, without parameters beside or below the path."""
    environ(**account.environ)
    found = await fetch("ssm:/parley/many/")
    assert found == {f"NAME_{number}": f"value-{number}" for number in range(25)}
    assert await fetch("ssm:/parley/none/") == {}


@pytest.mark.parametrize("source", ["ssm", "ssm:parley/", "vault:/parley/", "/parley/"])
async def test_an_unknown_source_is_rejected(environ: Callable[..., None], source: str) -> None:
    """NotConfigured names the variable."""
    environ(SECRETS_SOURCE=source)
    with pytest.raises(NotConfigured, match="SECRETS_SOURCE"):
        await fetch(source)


@pytest.fixture
async def broken_store(environ: Callable[..., None]) -> AsyncIterator[list[web.Response]]:
    """A store that returns these responses, one per request."""
    responses: list[web.Response] = []

    async def respond_next(_request: web.Request) -> web.Response:
        return responses.pop(0)

    app = web.Application()
    app.router.add_post("/", respond_next)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    environ(AWS_ENDPOINT_URL=url, AWS_REGION="us-east-1", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret-key")
    yield responses
    await runner.cleanup()


@pytest.mark.parametrize(
    "response",
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
async def test_a_malformed_response_counts_as_unreachable(
    broken_store: list[web.Response], response: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the error nor its cause repeats a value."""
    broken_store.append(web.Response(status=response[0], text=response[1]))
    with pytest.raises(DependencyDown) as caught:
        await fetch("ssm:/parley/test/")
    assert "secret-key" not in f"{caught.value!r} {caught.value.metadata} {caught.value.__cause__!r}"
    assert capsys.readouterr().out == ""


_PAGE = (200, '{"Parameters": [{"Name": "/parley/test/CRON_SECRET", "Value": "there"}]}')
_BUSY = (400, '{"__type": "com.amazonaws.ssm#ThrottlingException", "message": "Rate exceeded"}')
_DENIED = (400, '{"__type": "AccessDeniedException", "message": "no"}')


@pytest.mark.parametrize(
    ("responses", "is_fetched", "requests"),
    [
        ([_BUSY, _PAGE], True, 2),
        ([(500, ""), (429, "{}"), _PAGE], True, 3),
        ([_BUSY, _BUSY, _BUSY, _PAGE], False, 3),
        ([_DENIED, _PAGE], False, 1),
    ],
)
async def test_a_busy_store_is_retried(
    broken_store: list[web.Response],
    monkeypatch: pytest.MonkeyPatch,
    responses: list[tuple[int, str]],
    is_fetched: bool,
    requests: int,
) -> None:
    """Two retries within three seconds; a definite refusal is not retried."""
    monkeypatch.setattr(secrets_module, "_PAUSE_SECONDS", 0.0)
    broken_store.extend(web.Response(status=status, text=text) for status, text in responses)
    if is_fetched:
        assert await fetch("ssm:/parley/test/") == {"CRON_SECRET": "there"}
    else:
        with pytest.raises(DependencyDown):
            await fetch("ssm:/parley/test/")
    assert len(responses) - len(broken_store) == requests


async def test_a_closed_connection_is_retried(
    broken_store: list[web.Response], environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was open while the instance was frozen is dead afterwards."""
    monkeypatch.setattr(secrets_module, "_PAUSE_SECONDS", 0.0)
    broken_store.append(web.Response(text=_PAGE[1]))
    url = settings().get("AWS_ENDPOINT_URL")
    real = secrets_module._post  # noqa: SLF001 - the first call meets a dead connection
    attempts: list[object] = []

    async def post(query: dict[str, object]) -> object:
        environ(AWS_ENDPOINT_URL=url if attempts else "http://127.0.0.1:9")
        attempts.append(query)
        return await real(query)

    monkeypatch.setattr(secrets_module, "_post", post)
    assert await fetch("ssm:/parley/test/") == {"CRON_SECRET": "there"}
    assert len(attempts) == 2


async def test_values_that_are_not_text_are_left_out(broken_store: list[web.Response]) -> None:
    """The other parameters are used."""
    listed = [{"Name": "/p/A", "Value": 1}, {"Name": "/p/B", "Value": None}, {"Name": "/p/C", "Value": "c"}]
    broken_store.append(web.json_response({"Parameters": listed}))
    assert await fetch("ssm:/p/") == {"C": "c"}


@pytest.mark.parametrize("path", ["/store", "/?a=b", "//"])
async def test_an_endpoint_with_a_path_is_rejected(environ: Callable[..., None], path: str) -> None:
    """The signature is for `/`; NotConfigured names the variable."""
    environ(AWS_REGION="r", AWS_ENDPOINT_URL=f"http://127.0.0.1:9{path}")
    with pytest.raises(NotConfigured, match="AWS_ENDPOINT_URL"):
        await fetch("ssm:/parley/test/")


@pytest.mark.parametrize(
    ("response", "logged"),
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
async def test_the_log_has_the_reason_of_a_failure(
    broken_store: list[web.Response],
    environ: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    response: tuple[int, str],
    logged: dict[str, object],
) -> None:
    """Status and machine code distinguish a missing permission from a wrong path; the store's message is not logged."""
    environ(SECRETS_SOURCE="ssm:/parley/test/")
    broken_store.append(web.Response(status=response[0], text=response[1]))
    await asyncio.gather(Secrets(fetch).ready(), return_exceptions=True)
    written = capsys.readouterr().out
    line = json.loads(written)
    assert {name: line[name] for name in line if name not in {"at", "event", "is_stale"}} == logged
    assert (line["event"], line["is_stale"]) == ("secrets_failed", False)
    assert "secret" not in written.replace("secrets_failed", "")
