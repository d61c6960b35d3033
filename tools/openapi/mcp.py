"""The operations of the MCP server, which assist serves."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared import errors
from tools.openapi.document import Operation, Success


class RpcRequest(BaseModel):
    """A JSON-RPC request, or a notification, which has no `id`. Each tool's arguments are in `tools/list`."""

    model_config = ConfigDict(extra="allow")

    jsonrpc: Literal["2.0"]
    method: str = Field(min_length=1, max_length=200)
    id: str | int = ""
    params: dict[str, Any] = {}


class RpcError(BaseModel):
    """Why the request itself was refused; a tool that fails gives a result with `isError`."""

    code: int
    message: str
    data: dict[str, Any] = {}


class RpcAnswer(BaseModel):
    """A JSON-RPC response with `result` or `error`."""

    jsonrpc: Literal["2.0"]
    id: str | int | None
    result: dict[str, Any] = {}
    error: RpcError = RpcError(code=0, message="")


class ProtectedResource(BaseModel):
    """The metadata of RFC 9728."""

    resource: str
    authorization_servers: list[str]
    scopes_supported: list[str]
    bearer_methods_supported: list[str]
    resource_name: str


SERVE_MCP: Final = Operation(
    "A message of the Model Context Protocol: see docs/mcp.md.",
    {
        200: Success("The response to a request.", RpcAnswer),
        202: Success("A notification was taken.", RpcAnswer),
        400: Success("The body is no request, or contradicts its headers.", RpcAnswer),
        404: Success("The stateless revision has no such method.", RpcAnswer),
    },
    body=RpcRequest,
    errors=(errors.Forbidden, errors.NotAcceptable, errors.RequestTimeout),
    takes={
        "MCP-Protocol-Version": "The revision; `2026-07-28` also needs `Mcp-Method`, and `Mcp-Name` for a tool.",
        "Mcp-Method": "The method of the body.",
        "Mcp-Name": "The name of the tool.",
    },
)
SHOW_RESOURCE: Final = Operation(
    "Where clients of MCP sign in.", {200: Success("The metadata.", ProtectedResource)}, needs="none"
)
