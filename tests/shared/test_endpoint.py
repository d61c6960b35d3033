"""The door."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.endpoint import respond, routes
from shared.errors import (
    BudgetExceeded,
    DatabaseUnavailable,
    Forbidden,
    InvalidRequest,
    NotConfigured,
    ParleyError,
    QuotaExceeded,
    Unauthenticated,
)
from tests.asgi import Caller, call, request_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("environ")]
ORIGIN = "https://app.example"


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


async def _refused(error: ParleyError, **headers: str) -> Caller:
    async def refuse(_: Request) -> Response:
        raise error

    return await call(lambda request: respond(request, routes({"GET /": refuse})), headers=headers)


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
async def test_a_request_finds_its_route_or_is_told_why_not(method: str, path: str, status: int) -> None:
    """An unknown path is 404, a known one with another method 405."""
    assert (await _ask(method, path)).status == status


async def test_a_path_that_is_named_is_not_taken_for_one_that_is_described() -> None:
    """What stands in a pattern's place may have a path of its own."""
    assert (await _ask("GET", "/a/stream")).json()["params"] == {"id": "a"}
    assert (await _ask("GET", "/chat/a/stream")).json()["params"] == {"id": "a"}
    named = await _ask("GET", "/chat/stream")
    assert (named.status, named.headers["allow"]) == (405, "OPTIONS, POST")
    assert (await _ask("POST", "/chat/stream")).status == 200


async def test_a_405_says_which_methods_there_are() -> None:
    """Allow names all methods of the path."""
    assert (await _ask("DELETE")).headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_a_path_may_hold_slashes() -> None:
    """A model's name is one parameter, whatever it holds."""
    assert (await _ask(path="/named/hf:a/b:c")).json()["params"] == {"identifier": "hf:a/b:c"}


@pytest.mark.parametrize("given", ["abc", "A-Z_09", "x" * 64])
async def test_a_request_id_is_echoed(given: str) -> None:
    """The caller's own id comes back in the header and reaches the handler."""
    got = await _ask(x_request_id=given)
    assert got.headers["x-request-id"] == got.json()["id"] == given


@pytest.mark.parametrize("given", [None, "", "x" * 65, "a b", "é", "a;b"])
async def test_an_odd_request_id_is_replaced(given: str | None) -> None:
    """Anything else gives a new one, also on errors, the same in header and body."""
    headers = {} if given is None else {"x_request_id": given}
    got = await _ask(path="/elsewhere", **headers)
    assert got.headers["x-request-id"] == got.json()["error"]["request_id"]
    assert uuid.UUID(got.headers["x-request-id"])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequest("no", param="model"), "invalid_request_error"),
        (Unauthenticated("no"), "authentication_error"),
        (BudgetExceeded("no"), "insufficient_quota"),
        (Forbidden("no"), "permission_error"),
        (QuotaExceeded("no", metadata={"limit": 5}), "rate_limit_error"),
        (DatabaseUnavailable("no"), "server_error"),
    ],
    ids=lambda value: getattr(value, "code", None),
)
async def test_errors_have_openais_shape(error: ParleyError, kind: str) -> None:
    """Status, type and code are there for OpenAI's SDKs to raise their right exception."""
    got = await _refused(error)
    assert got.status == error.status
    assert got.headers["content-type"] == "application/json"
    assert got.json() == {
        "error": {
            "message": "no",
            "type": kind,
            "code": error.code,
            "param": error.param,
            "request_id": got.headers["x-request-id"],
            "metadata": error.metadata,
        }
    }


@pytest.mark.parametrize(("seconds", "header"), [(0, "1"), (0.2, "1"), (2, "2"), (2.1, "3"), (None, None)])
async def test_a_wait_is_told_in_whole_seconds(seconds: float | None, header: str | None) -> None:
    """Retry-After is rounded up and never zero; without a wait there is none."""
    got = await _refused(DatabaseUnavailable("no", retry_after_seconds=seconds))
    assert got.headers.get("retry-after") == header


async def test_a_missing_token_is_asked_for_in_the_standard_way() -> None:
    """A 401, and no other status, carries WWW-Authenticate."""
    assert (await _refused(Unauthenticated("no"))).headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert "www-authenticate" not in (await _refused(Forbidden("no"))).headers


@pytest.mark.parametrize("error", [QuotaExceeded("no", retry_after_seconds=60), BudgetExceeded("no")])
async def test_sdks_are_told_not_to_retry_what_only_tomorrow_helps(error: ParleyError) -> None:
    """OpenAI's SDKs would otherwise retry every 429."""
    assert (await _refused(error)).headers["x-should-retry"] == "false"


async def test_an_errors_own_headers_are_sent() -> None:
    """What a refusal adds reaches the caller."""
    assert (await _refused(Forbidden("no", headers={"X-Cache": "MISS"}))).headers["x-cache"] == "MISS"


async def test_a_crash_is_json_without_words(capsys: pytest.CaptureFixture[str]) -> None:
    """The caller learns that it was us, the log learns the class and the place, neither the words."""
    got = await _ask(path="/crash")
    assert (got.status, got.json()["error"]["code"]) == (500, "internal_error")
    logged = capsys.readouterr().out
    assert "RuntimeError at test_endpoint.py:" in logged
    assert "secret" not in logged + got.body.decode()


async def test_preflight_needs_no_token_and_tells_a_known_origin_what_it_may(environ: Callable[..., None]) -> None:
    """A browser asks first; a known origin gets methods and how long that holds."""
    environ(CORS_ORIGINS=ORIGIN)
    got = await _ask("OPTIONS", origin=ORIGIN, access_control_request_method="POST")
    assert (got.status, got.body) == (204, b"")
    assert got.headers["access-control-allow-origin"] == ORIGIN
    assert got.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS, POST"
    assert int(got.headers["access-control-max-age"]) > 0


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ("authorization,content-type", "authorization, content-type"),
        (
            "traceparent, sentry-trace,x-region,OpenAI-Organization",
            "traceparent, sentry-trace, x-region, OpenAI-Organization",
        ),
        ('x-a, b c, "q", <x>, x-d', "x-a, x-d"),
        ("", None),
    ],
)
async def test_a_known_origin_may_send_any_header(
    environ: Callable[..., None], asked: str, allowed: str | None
) -> None:
    """Tracing and SDKs add their own; what is no header name is not repeated."""
    environ(CORS_ORIGINS=ORIGIN)
    got = await _ask("OPTIONS", origin=ORIGIN, access_control_request_headers=asked)
    assert got.headers.get("access-control-allow-headers") == allowed
    other = await _ask("OPTIONS", origin="https://evil.example", access_control_request_headers=asked)
    assert "access-control-allow-headers" not in other.headers


@pytest.mark.parametrize(
    ("origin", "is_admitted"),
    [
        ("http://localhost:5173", True),
        ("http://localhost", True),
        ("http://[::1]:3000", True),
        ("https://app.example", True),
        ("https://localhost:5173", False),
        ("http://127.0.0.1:3000", False),
        ("http://localhost:*", False),
        ("http://localhost:5173.evil.example", False),
        ("http://localhost.evil.example:5173", False),
        ("http://evil.example:5173", False),
        ("http://localhost:5173/", False),
    ],
)
async def test_a_loopback_host_may_have_any_port(environ: Callable[..., None], origin: str, is_admitted: bool) -> None:
    """Where CORS_ORIGINS says so; no other host may, and nothing else of the origin may differ."""
    environ(CORS_ORIGINS="http://localhost:*, http://[::1]:*, https://app.example, http://evil.example:*, *")
    got = await _ask(origin=origin)
    assert got.headers.get("access-control-allow-origin") == (origin if is_admitted else None)


async def test_wrong_variables_are_logged_once(
    environ: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the first request, by name and reason; /health looks at nothing."""
    environ(CRON_SECRET="hush", TURN_SECONDS="soon")
    for _ in range(2):
        await _ask()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    wrong = [line for line in lines if line["event"] == "wrong_variable"]
    assert [line["variable"] for line in wrong] == ["CRON_SECRET", "TURN_SECONDS"]
    assert "CRON_SECRET is too short; write at least 32 characters" in wrong[0]["problem"]
    assert "hush" not in json.dumps(lines)


async def test_what_is_not_configured_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """The operator finds the variable beside the request's id."""
    await _refused(NotConfigured("The environment variable X is not set."))
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["event"], line["problem"]) == ("not_configured", "The environment variable X is not set.")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "https://app.example.evil.example",
        "http://app.example",
        "https://app",
        "https://",
        "https://APP.example",
        "*",
        "",
    ],
)
@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
async def test_another_origin_gets_no_permission(environ: Callable[..., None], method: str, origin: str) -> None:
    """The list is exact: no wildcard, no prefix, no other scheme."""
    environ(CORS_ORIGINS=f"{ORIGIN}, https://other.example")
    got = await _ask(method, origin=origin)
    assert not [name for name in got.headers if name.startswith("access-control")]
    assert got.headers["vary"] == "Origin"


@pytest.mark.parametrize("path", ["/", "/elsewhere", "/crash"])
async def test_every_answer_can_be_read_by_a_known_origin(environ: Callable[..., None], path: str) -> None:
    """Errors and crashes carry the CORS headers too, and caches know that answers differ by origin."""
    environ(CORS_ORIGINS=ORIGIN)
    got = await _ask(path=path, origin=ORIGIN)
    assert got.headers["access-control-allow-origin"] == ORIGIN
    assert "x-request-id" in got.headers["access-control-expose-headers"]
    assert got.headers["vary"] == "Origin"


async def test_each_request_is_one_line_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """The line has outcome and timing, but no query and no headers; healthy probes leave none."""
    caller = Caller(chunks=[b""])
    request = request_of(caller, "GET", "/", {"X-Request-Id": "r1", "Authorization": "Bearer t0ken"}, "q=secret")
    await respond(request, TABLE)
    await _ask(path="/health")
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert {name: told[name] for name in ("event", "request_id", "method", "path", "status")} == {
        "event": "request",
        "request_id": "r1",
        "method": "GET",
        "path": "/",
        "status": 200,
    }
    assert "secret" not in line
    assert "t0ken" not in line


async def test_a_path_is_logged_as_its_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    """What a caller put into it may be anybody's words."""
    await _ask(path="/named/ada@example.com")
    await _ask(path="/elsewhere/ada@example.com")
    written = capsys.readouterr().out
    assert "/named/{identifier:path}" in written
    assert "ada@example.com" not in written


async def test_a_response_whose_outcome_comes_late_is_not_logged_early(capsys: pytest.CaptureFixture[str]) -> None:
    """Its status is not known yet."""

    class Late(Response):
        logs_itself = True

    async def stream(_: Request) -> Response:
        return Late()

    await call(lambda request: respond(request, routes({"GET /": stream})))
    assert capsys.readouterr().out == ""


async def test_a_caller_who_leaves_while_sending_is_no_crash(capsys: pytest.CaptureFixture[str]) -> None:
    """A body that never ends because nobody is there is not an error of ours."""
    caller = Caller()
    caller.gone.set()
    response = await respond(request_of(caller, "POST", "/body"), TABLE)
    assert response.status_code == 499
    assert "crash" not in capsys.readouterr().out
