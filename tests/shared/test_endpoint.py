"""Routing, request ids and the request log."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.endpoint import respond, routes
from shared.errors import (
    NotConfigured,
    ParleyError,
)
from tests.asgi import Caller, call, request_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("environ")]


async def _greet(request: Request) -> Response:
    return JSONResponse({"id": request.state.request_id, "params": request.path_params})


async def _crash(_: Request) -> Response:
    raise RuntimeError("secret words")


async def _body(request: Request) -> Response:
    return Response(await request.body())


TABLE = routes(
    {
        "GET /": _greet,
        "POST /": _greet,
        "GET /named/{identifier:path}": _greet,
        "GET /crash": _crash,
        "POST /body": _body,
        "GET /health": _greet,
        "GET /{id}/stream": _greet,
        "POST /chat/stream": _greet,
        "GET /chat/{id}/stream": _greet,
    }
)


async def _ask(method: str = "GET", path: str = "/", **headers: str) -> Caller:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await call(lambda request: respond(request, TABLE), method, path, named)


async def _response_to(error: ParleyError, **headers: str) -> Caller:
    async def fail(_: Request) -> Response:
        raise error

    return await call(lambda request: respond(request, routes({"GET /": fail})), headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("POST", "/", 200),
        ("HEAD", "/", 200),
        ("GET", "//", 200),
        ("GET", "", 200),
        ("GET", "/named/openai:gpt-4o", 200),
        ("GET", "/named/huggingface:meta-llama/Llama-3.1-8B", 200),
        ("GET", "/health/", 200),
        ("GET", "/elsewhere", 404),
        ("OPTIONS", "/elsewhere", 404),
        ("DELETE", "/", 405),
        ("POST", "/health", 405),
        ("BREW", "/health", 405),
    ],
)
async def test_a_request_finds_its_route_or_gets_404_or_405(method: str, path: str, status: int) -> None:
    """An unknown path is 404, a known one with another method 405."""
    assert (await _ask(method, path)).status == status


async def test_a_literal_path_takes_precedence_over_a_pattern() -> None:
    """A pattern matches only paths that no route names literally."""
    assert (await _ask("GET", "/a/stream")).json()["params"] == {"id": "a"}
    assert (await _ask("GET", "/chat/a/stream")).json()["params"] == {"id": "a"}
    named = await _ask("GET", "/chat/stream")
    assert (named.status, named.headers["allow"]) == (405, "OPTIONS, POST")
    assert (await _ask("POST", "/chat/stream")).status == 200


async def test_a_405_names_the_methods_of_the_path() -> None:
    """Allow lists all methods of the path."""
    assert (await _ask("DELETE")).headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_a_path_parameter_may_contain_slashes() -> None:
    """A model name is one parameter, slashes included."""
    assert (await _ask(path="/named/hf:a/b:c")).json()["params"] == {"identifier": "hf:a/b:c"}


@pytest.mark.parametrize("given", ["abc", "A-Z_09", "x" * 64])
async def test_a_request_id_is_echoed(given: str) -> None:
    """The client's id is in the response header and reaches the handler."""
    got = await _ask(x_request_id=given)
    assert got.headers["x-request-id"] == got.json()["id"] == given


@pytest.mark.parametrize("given", [None, "", "x" * 65, "a b", "é", "a;b"])
async def test_a_malformed_request_id_is_replaced(given: str | None) -> None:
    """A new id is the same in header and body, also of errors."""
    headers = {} if given is None else {"x_request_id": given}
    got = await _ask(path="/elsewhere", **headers)
    assert got.headers["x-request-id"] == got.json()["error"]["request_id"]
    assert uuid.UUID(got.headers["x-request-id"])


async def test_wrong_variables_are_logged_once(
    environ: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The first request logs name and reason of each wrong variable; /health logs none."""
    environ(CRON_SECRET="hush", TURN_SECONDS="soon")
    for _ in range(2):
        await _ask()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    wrong = [line for line in lines if line["event"] == "wrong_variable"]
    assert [line["variable"] for line in wrong] == ["CRON_SECRET", "TURN_SECONDS"]
    assert "CRON_SECRET is too short; write at least 32 characters" in wrong[0]["problem"]
    assert "hush" not in json.dumps(lines)


async def test_a_missing_variable_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """The log line has the variable and the request id."""
    await _response_to(NotConfigured("The environment variable X is not set."))
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["event"], line["problem"]) == ("not_configured", "The environment variable X is not set.")


async def test_each_request_is_one_line_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """The line has outcome and time, but no query and no headers; health checks are not logged."""
    caller = Caller(chunks=[b""])
    request = request_of(caller, "GET", "/", {"X-Request-Id": "r1", "Authorization": "Bearer t0ken"}, "q=secret")
    await respond(request, TABLE)
    await _ask(path="/health")
    (line,) = capsys.readouterr().out.splitlines()
    record = json.loads(line)
    assert {name: record[name] for name in ("event", "request_id", "method", "path", "status")} == {
        "event": "request",
        "request_id": "r1",
        "method": "GET",
        "path": "/",
        "status": 200,
    }
    assert "secret" not in line
    assert "t0ken" not in line


async def test_a_path_is_logged_as_its_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    """The path itself may contain personal data."""
    await _ask(path="/named/ada@example.com")
    await _ask(path="/elsewhere/ada@example.com")
    written = capsys.readouterr().out
    assert "/named/{identifier:path}" in written
    assert "ada@example.com" not in written


async def test_a_response_that_logs_itself_is_not_logged_here(capsys: pytest.CaptureFixture[str]) -> None:
    """Its status is not known yet."""

    class Late(Response):
        logs_itself = True

    async def stream(_: Request) -> Response:
        return Late()

    await call(lambda request: respond(request, routes({"GET /": stream})))
    assert capsys.readouterr().out == ""


async def test_a_client_that_disconnects_while_sending_is_no_crash(capsys: pytest.CaptureFixture[str]) -> None:
    """An incomplete body is 499 and logs no crash."""
    caller = Caller()
    caller.gone.set()
    response = await respond(request_of(caller, "POST", "/body"), TABLE)
    assert response.status_code == 499
    assert "crash" not in capsys.readouterr().out
