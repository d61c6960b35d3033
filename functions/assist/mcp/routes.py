"""POST /mcp: a stateless server of the Model Context Protocol, and the metadata with which clients find the sign-in."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from functions.assist.mcp.messages import (
    HANDSHAKE,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    SUPPORTED,
    Call,
    RpcError,
    error_json,
    read_call,
    result_json,
)
from functions.assist.mcp.tool import Caller, McpTool, Output, failure_of, result_of
from functions.assist.mcp.tools import offered_tools
from shared.addresses import admits
from shared.auth import authenticate_client, insufficient
from shared.body import read_body
from shared.config import settings
from shared.error_response import error_response
from shared.errors import Forbidden, InternalError, InvalidRequest, NotAcceptable, ParleyError, Unauthenticated
from shared.log import log, origin_of
from shared.responses import until_hang_up

_HOST: Final = re.compile(r"[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_RESOURCE_PATH: Final = "/.well-known/oauth-protected-resource/mcp"
_SERVER: Final = {"name": "parley", "title": "Parley", "version": "0.1.0"}
_INSTRUCTIONS: Final = (
    "Parley asks models on the user's account. `ask` and the presets cost the user money, within limits; `my_usage` "
    "shows what is left. A result that begins with `budget_exceeded` or `quota_exceeded` is final for now."
)
_CACHE: Final = {"ttlMs": 60_000, "cacheScope": "private"}


async def serve_mcp(request: Request) -> Response:
    """POST /mcp: the response to one message. Raises Forbidden, NotAcceptable, BodyTooLarge, UnsupportedMediaType, …"""
    _check_origin(request)
    _check_accept(request)
    try:
        person, scopes = await authenticate_client(request)
    except Unauthenticated as error:
        return _challenge(request, error)
    raw = await read_body(request)
    caller = Caller(person, scopes, request.state.request_id, request.state.arrived)
    call: Call | None = None
    try:
        call = read_call(raw, request.headers)
        return _answered(call, caller)
    except RpcError as error:
        status, body = error_json(error, call)
        return JSONResponse(body, status)


async def show_resource(request: Request) -> Response:
    """GET /.well-known/oauth-protected-resource[/mcp]: the address of /mcp and its authorization server."""
    return JSONResponse(
        {
            "resource": _address(request) + "/mcp",
            "authorization_servers": [settings().issuers[0]],
            "scopes_supported": ["email"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Parley",
        },
        headers={"Cache-Control": "public, max-age=300"},
    )


def _answered(call: Call, caller: Caller) -> Response:
    """The response to a message. Raises RpcError."""
    if call.id is None:
        return Response(status_code=202)
    match call.method:
        case "server/discover" if call.is_stateless:
            result = {"supportedVersions": list(SUPPORTED), **_abilities(), **_CACHE}
            result["_meta"] = {"io.modelcontextprotocol/serverInfo": _SERVER}
        case "initialize" if not call.is_stateless:
            asked = call.params.get("protocolVersion")
            revision = asked if asked in HANDSHAKE else HANDSHAKE[0]
            result = {"protocolVersion": revision, "serverInfo": _SERVER, **_abilities()}
        case "ping" if not call.is_stateless:
            result = {}
        case "tools/list":
            result = {"tools": _listed(caller)} | (_CACHE if call.is_stateless else {})
        case "tools/call":
            return _called(call, caller)
        case _:
            raise RpcError(METHOD_NOT_FOUND, "There is no such method.")
    return Response(orjson.dumps(result_json(call, result)), media_type="application/json")


def _abilities() -> dict[str, Any]:
    return {"capabilities": {"tools": {}}, "instructions": _INSTRUCTIONS}


def _listed(caller: Caller) -> list[Mapping[str, Any]]:
    """The tools that the credential of the client may call."""
    return [tool.listed for tool in offered_tools().values() if tool.scope in caller.scopes]


def _called(call: Call, caller: Caller) -> Response:
    """The response of a tool, which runs while it is sent. Raises RpcError."""
    name = call.params.get("name")
    tool = offered_tools().get(name) if isinstance(name, str) else None
    if tool is None:
        raise RpcError(INVALID_PARAMS, "There is no tool of this name; tools/list has the names.")
    return ToolResponse(call, caller, tool, tool.read(call.params.get("arguments") or {}))


class ToolResponse(Response):
    """Runs a tool and sends its result; a client that hangs up ends it."""

    logs_itself = True

    def __init__(self, call: Call, caller: Caller, tool: McpTool[Any], arguments: Any) -> None:
        super().__init__()
        self._call, self._caller, self._tool, self._arguments = call, caller, tool, arguments

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, outcome, result = time.monotonic(), "cancelled", None
        try:
            with until_hang_up(receive, self._caller.arrived + settings().turn_seconds) as tasks:
                outcome, result = await self._result()
            if result is None and tasks.failure is not None:
                outcome, result = tasks.failure.code, failure_of(tasks.failure, self._caller.request_id)
            if result is not None:
                response = Response(orjson.dumps(result_json(self._call, result)), media_type="application/json")
                own = {name for name, _ in response.raw_headers}
                response.raw_headers.extend(each for each in self.raw_headers if each[0] not in own)
                await response(scope, receive, send)
        finally:
            log("tool_call", tool=self._tool.name, outcome=outcome, ms=round((time.monotonic() - started) * 1000))

    async def _result(self) -> tuple[str, dict[str, Any]]:
        """How the call ended, and its result."""
        try:
            return "ok", result_of(await self._run())
        except ParleyError as error:
            failure = error
        except Exception as crash:  # noqa: BLE001 - the client gets a result, the log the place
            log("crash", error=origin_of(crash))
            failure = InternalError()
        return failure.code, failure_of(failure, self._caller.request_id)

    async def _run(self) -> Output:
        if self._tool.scope not in self._caller.scopes:
            raise insufficient(self._caller.person, self._tool.scope)
        return await self._tool.run(self._caller, self._arguments)


def _check_origin(request: Request) -> None:
    """Raises Forbidden for a page of another origin than those of CORS_ORIGINS, which may rebind its name."""
    origin = request.headers.get("origin")
    if origin and not admits(settings().cors_origins, origin):
        raise Forbidden("Pages of this origin may not use the MCP server.")


def _check_accept(request: Request) -> None:
    """Raises NotAcceptable when the client takes no JSON."""
    accepted = {each.partition(";")[0].strip().lower() for each in request.headers.get("accept", "*/*").split(",")}
    if not accepted & {"*/*", "application/*", "application/json"}:
        raise NotAcceptable("The answer is JSON: send Accept: application/json, text/event-stream.")


def _challenge(request: Request, error: Unauthenticated) -> Response:
    """401 with the address of the metadata, from which a client finds the sign-in."""
    response = error_response(error, request.state.request_id)
    reason = ', error="invalid_token"' if {"authorization", "x-api-key"} & set(request.headers) else ""
    response.headers["WWW-Authenticate"] = f'Bearer resource_metadata="{_address(request)}{_RESOURCE_PATH}"{reason}'
    return response


def _address(request: Request) -> str:
    """The address of this function: MCP_URL without its path, else that of the request. Raises InvalidRequest."""
    if configured := settings().checked("MCP_URL"):
        return configured.rstrip("/").removesuffix("/mcp")
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise InvalidRequest("The header Host is not a host.", param="Host")
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return f"{forwarded if forwarded in {'http', 'https'} else request.url.scheme}://{host}"
