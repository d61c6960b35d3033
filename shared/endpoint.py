"""The entry point of every function: request id, routing, the request's log line, and errors as responses."""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from shared.config import Settings, settings
from shared.cors import cors_headers, preflight_headers
from shared.error_response import error_response
from shared.errors import InternalError, MethodNotAllowed, NotConfigured, NotFound, ParleyError
from shared.identifiers import request_id_of
from shared.log import bind_request, log, origin_of, take_over_server_log
from shared.secrets import secrets
from shared.tracing import bind_caller

take_over_server_log()
_ROOT = Path(__file__).resolve().parents[1]
Handler = Callable[[Request], Awaitable[Response]]


def routes(table: Mapping[str, Handler]) -> list[Route]:
    """Routes from `{"POST /path": handler}`; a path may end in `{name:path}`."""
    return [
        Route(path, handler, methods=[method])
        for (method, path), handler in ((k.split(" ", 1), h) for k, h in table.items())
    ]


def on_demand(module: str, name: str) -> Handler:
    """A handler whose module is imported by its first request: rarely used routes do not slow down cold starts."""

    async def handler(request: Request) -> Response:
        response: Response = await getattr(importlib.import_module(module), name)(request)
        return response

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


async def respond(request: Request, table: Iterable[Route]) -> Response:
    """The response of the matching route, or an error response. Raises only cancellation.

    A response with a true attribute `logs_itself` does not know its status yet and logs it later.
    """
    request.state.request_id = request_id_of(request.headers.get("x-request-id"))
    request.state.arrived = time.monotonic()
    bind_request(request.state.request_id)
    bind_caller(request.headers.get("traceparent"))
    try:
        response = await _dispatch(request, table)
    except ParleyError as error:
        if isinstance(error, NotConfigured):
            log("not_configured", request_id=request.state.request_id, problem=error.message)
        response = error_response(error, request.state.request_id)
    except ClientDisconnect:
        response = Response(status_code=499)  # the client is gone
    except Exception as error:  # noqa: BLE001 - the last guard: the client gets JSON, the log the class
        log("crash", error=origin_of(error))
        response = error_response(InternalError(), request.state.request_id)
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
            if not route.path.startswith("/health"):  # /health reads no settings, /health/ready checks them itself
                await secrets.ready()
                _log_wrong_variables()
            return await handler(request)
        allowed |= route.methods or set()
    if not allowed:
        raise NotFound("There is nothing at this path.")
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=preflight_headers(request, allowed))
    raise MethodNotAllowed(
        "This path does not take that method.", headers={"Allow": ", ".join(sorted(allowed | {"OPTIONS"}))}
    )


def _matching(table: Iterable[Route], scope: Scope) -> list[tuple[Route, Match, Scope]]:
    """The routes of this path; a literal path takes precedence over patterns such as `/{id}/stream`."""
    literal = [route for route in table if route.path == scope["path"]]
    matching = [(route, *route.matches(scope)) for route in literal or table]
    return [each for each in matching if each[1] is not Match.NONE]


def _plain_path(path: str) -> str:
    return path.rstrip("/") or "/"


_logged: list[Settings] = []


def _log_wrong_variables() -> None:
    """Logs one line per wrong variable at the first request, and again after fetched secrets have changed.

    A required variable that is unset is logged by each request that needs it.
    """
    if _logged and _logged[0] is settings():
        return
    _logged[:] = [settings()]
    for wrong in settings().wrong_variables(required=()):
        log("wrong_variable", variable=wrong.name, problem=str(wrong))


def _log_outcome(request: Request, response: Response) -> None:
    is_routine = request.scope["path"].startswith("/health") and response.status_code == 200
    if is_routine or getattr(response, "logs_itself", False):
        return
    ms = round((time.monotonic() - request.state.arrived) * 1000)
    log(
        "request",
        method=request.method,
        path=getattr(request.state, "route", "?"),  # the pattern, because the path itself may contain personal data
        status=response.status_code,
        ms=ms,
    )
