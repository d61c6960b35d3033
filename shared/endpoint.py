"""The door of every function: request id, CORS, routes and methods, and errors as JSON."""

from __future__ import annotations

import functools
import importlib
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from shared.addresses import admits
from shared.config import Settings, settings
from shared.errors import (
    BudgetExceeded,
    InternalError,
    MethodNotAllowed,
    NotConfigured,
    NotFound,
    ParleyError,
    ProviderRefused,
    QuotaExceeded,
    Unauthenticated,
)
from shared.identifiers import request_id_of
from shared.log import bind_request, log
from shared.secrets import secrets

_ROOT = Path(__file__).resolve().parents[1]
Handler = Callable[[Request], Awaitable[Response]]

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_EXPOSED_HEADERS = (
    "x-request-id, retry-after, x-should-retry, www-authenticate, etag, age, x-cache, idempotent-replayed, x-model, "
    "x-fallbacks, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    "x-budget-remaining-usd, x-vercel-ai-ui-message-stream"
)
_TYPES = {401: "authentication_error", 402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error"}


def routes(table: Mapping[str, Handler]) -> list[Route]:
    """Routes from `{"POST /path": handler}`; a path may end in `{name:path}`."""
    return [
        Route(path, handler, methods=[method])
        for (method, path), handler in ((k.split(" ", 1), h) for k, h in table.items())
    ]


def on_demand(module: str, name: str) -> Handler:
    """The handler of that name, whose module is loaded when it is first asked: no start waits for what few ever use."""

    async def handler(request: Request) -> Response:
        answered: Response = await getattr(importlib.import_module(module), name)(request)
        return answered

    handler.__name__ = name
    return handler


def with_document(table: Mapping[str, Handler], name: str) -> dict[str, Handler]:
    """The table with `GET /openapi.json`, which returns the checked-in document of the function `name`."""

    async def show_document(_request: Request) -> Response:
        return Response(_document(name), media_type="application/json")

    return {**table, "GET /openapi.json": show_document}


def document_path(name: str) -> Path:
    """The file of a function's OpenAPI document, in the repository and in what is deployed."""
    return _ROOT / "docs" / f"openapi-{name}.json"


@functools.cache
def _document(name: str) -> bytes:
    return document_path(name).read_bytes()


class LateOutcome:
    """Marks a response whose status is decided while it is sent, and which is logged then."""


async def answer(request: Request, table: Iterable[Route]) -> Response:
    """The response of whichever route fits, or the error that says why none did; never raises but for cancellation."""
    request.state.request_id = request_id_of(request.headers.get("x-request-id"))
    request.state.arrived = time.monotonic()
    bind_request(request.state.request_id)
    try:
        response = await _dispatch(request, table)
    except ParleyError as error:
        if isinstance(error, NotConfigured):
            log("not_configured", request_id=request.state.request_id, problem=error.message)
        response = error_response(error, request.state.request_id)
    except ClientDisconnect:
        response = Response(status_code=499)  # nobody is there to read it
    except Exception as error:  # noqa: BLE001 - the last guard: a caller gets JSON, the log gets the class, nobody a trace
        log("crash", error=_origin(error))
        response = error_response(InternalError("Something went wrong on our side."), request.state.request_id)
    response.headers["X-Request-Id"] = request.state.request_id
    for name, value in cors_headers(request).items():
        response.headers[name] = value
    _log_outcome(request, response)
    return response


async def _dispatch(request: Request, table: Iterable[Route]) -> Response:
    scope = dict(request.scope) | {"path": _plain_path(request.scope["path"])}
    allowed: set[str] = set()
    for route, match, found in _matching(table, scope):
        if match is Match.FULL:
            request.scope["path_params"] = found["path_params"]
            request.state.route = route.path
            handler: Handler = route.endpoint
            if not route.path.startswith("/health"):  # /health touches nothing, /health/ready checks for itself
                await secrets.ready()
                _log_wrong_variables()
            return await handler(request)
        allowed |= route.methods or set()
    if not allowed:
        raise NotFound("There is nothing at this path.")
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=_preflight_headers(request, allowed))
    raise MethodNotAllowed(
        "This path does not take that method.", headers={"Allow": ", ".join(sorted(allowed | {"OPTIONS"}))}
    )


def _matching(table: Iterable[Route], scope: Scope) -> list[tuple[Route, Match, Scope]]:
    """Routes of this path; where one names it in full, those that only describe it (`/{id}/stream`) are not meant."""
    matching = [(route, *route.matches(scope)) for route in table]
    found = [each for each in matching if each[1] is not Match.NONE]
    return [each for each in found if not each[0].param_convertors] or found


def _plain_path(path: str) -> str:
    return path.rstrip("/") or "/"


def cors_headers(request: Request) -> dict[str, str]:
    """What a browser needs to read the answer; the origin is echoed only when CORS_ORIGINS admits it."""
    origin = request.headers.get("origin")
    if not origin or not admits(settings().cors_origins, origin):
        return {"Vary": "Origin"}
    return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED_HEADERS}


def _preflight_headers(request: Request, allowed: set[str]) -> dict[str, str]:
    methods = ", ".join(sorted(allowed | {"OPTIONS"}))
    headers = {"Allow": methods}
    if "Access-Control-Allow-Origin" in cors_headers(request):
        headers |= {"Access-Control-Allow-Methods": methods, "Access-Control-Max-Age": "7200"}
        if names := _requested_headers(request):
            headers["Access-Control-Allow-Headers"] = names
    return headers


def _requested_headers(request: Request) -> str:
    """What the page wants to send: an origin that is admitted may send any header, for tracing or an SDK of its own."""
    asked = ",".join(request.headers.getlist("access-control-request-headers")).split(",")
    return ", ".join(name for name in map(str.strip, asked) if _HEADER_NAME.fullmatch(name))


_logged: list[Settings] = []


def _log_wrong_variables() -> None:
    """One line per wrong variable at the first request, and again when fetched secrets changed.

    A required one that is unset has its own line with each request that needs it.
    """
    if _logged and _logged[0] is settings():
        return
    _logged[:] = [settings()]
    for wrong in settings().wrong_variables(required=()):
        log("wrong_variable", variable=wrong.name, problem=str(wrong))


def error_body(error: ParleyError, request_id: str) -> dict[str, Any]:
    """OpenAI's error shape, so that its SDKs raise their right exception."""
    kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    return {
        "error": {
            "message": error.message,
            "type": kind,
            "code": error.code,
            "param": error.param,
            "request_id": request_id,
            "metadata": error.metadata,
        }
    }


def error_response(error: ParleyError, request_id: str) -> JSONResponse:
    """The error with its status and headers."""
    headers = dict(error.headers)
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    if isinstance(error, QuotaExceeded | BudgetExceeded | ProviderRefused):
        headers["x-should-retry"] = "false"  # only the next day or month helps, or another question
    return JSONResponse(error_body(error, request_id), error.status, headers)


def _origin(error: BaseException) -> str:
    """Class and place of a crash, without its words, which may hold content."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} at {place}"


def _log_outcome(request: Request, response: Response) -> None:
    is_routine = request.url.path.startswith("/health") and response.status_code == 200
    if is_routine or isinstance(response, LateOutcome):
        return
    ms = round((time.monotonic() - request.state.arrived) * 1000)
    log(
        "request",
        method=request.method,
        path=getattr(request.state, "route", "?"),  # the pattern: what stands in a path may be anybody's words
        status=response.status_code,
        ms=ms,
    )
