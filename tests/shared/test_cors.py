"""CORS headers and preflight responses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.endpoint import respond, routes
from tests.asgi import Caller, call

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("environ")]
ORIGIN = "https://app.example"


async def _greet(request: Request) -> Response:
    return JSONResponse({"id": request.state.request_id, "params": request.path_params})


async def _crash(_: Request) -> Response:
    raise RuntimeError("secret words")


TABLE = routes({"GET /": _greet, "POST /": _greet, "GET /crash": _crash})


async def _ask(method: str = "GET", path: str = "/", **headers: str) -> Caller:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await call(lambda request: respond(request, TABLE), method, path, named)


async def test_preflight_needs_no_token_and_lists_methods(environ: Callable[..., None]) -> None:
    """An admitted origin gets the methods and a cache time."""
    environ(CORS_ORIGINS=ORIGIN)
    got = await _ask("OPTIONS", origin=ORIGIN, access_control_request_method="POST")
    assert (got.status, got.body) == (204, b"")
    assert got.headers["access-control-allow-origin"] == ORIGIN
    assert got.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS, POST"
    assert int(got.headers["access-control-max-age"]) > 0


@pytest.mark.parametrize(
    ("requested", "allowed"),
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
async def test_an_admitted_origin_may_send_any_header(
    environ: Callable[..., None], requested: str, allowed: str | None
) -> None:
    """The requested headers are allowed; malformed names are left out."""
    environ(CORS_ORIGINS=ORIGIN)
    got = await _ask("OPTIONS", origin=ORIGIN, access_control_request_headers=requested)
    assert got.headers.get("access-control-allow-headers") == allowed
    other = await _ask("OPTIONS", origin="https://evil.example", access_control_request_headers=requested)
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
    """An entry with * as its port admits every port of a loopback host, and of no other host."""
    environ(CORS_ORIGINS="http://localhost:*, http://[::1]:*, https://app.example, http://evil.example:*, *")
    got = await _ask(origin=origin)
    assert got.headers.get("access-control-allow-origin") == (origin if is_admitted else None)


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
async def test_other_origins_get_no_cors_headers(environ: Callable[..., None], method: str, origin: str) -> None:
    """Origins match exactly: no wildcard, no prefix, no other scheme."""
    environ(CORS_ORIGINS=f"{ORIGIN}, https://other.example")
    got = await _ask(method, origin=origin)
    assert not [name for name in got.headers if name.startswith("access-control")]
    assert got.headers["vary"] == "Origin"


@pytest.mark.parametrize("path", ["/", "/elsewhere", "/crash"])
async def test_every_response_has_cors_headers_for_an_admitted_origin(environ: Callable[..., None], path: str) -> None:
    """Errors and crashes have CORS headers, too; Vary makes caches keep one response for each origin."""
    environ(CORS_ORIGINS=ORIGIN)
    got = await _ask(path=path, origin=ORIGIN)
    assert got.headers["access-control-allow-origin"] == ORIGIN
    assert "x-request-id" in got.headers["access-control-expose-headers"]
    assert got.headers["vary"] == "Origin"
