"""Messages of the Model Context Protocol: one JSON-RPC request as a value, its revision, and the errors. No network."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from shared.body import parse_body
from shared.errors import InvalidRequest, Unprocessable

STATELESS: Final = "2026-07-28"
"""The revision without a handshake: each request names its revision and the abilities of its client."""
HANDSHAKE: Final = ("2025-11-25", "2025-06-18", "2025-03-26")
"""The revisions that begin with `initialize`, the newest first."""
SUPPORTED: Final = (STATELESS, *HANDSHAKE)

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
HEADER_MISMATCH, UNSUPPORTED_REVISION = -32020, -32022
_STATUSES: Final = {METHOD_NOT_FOUND: 404}

REVISION_HEADER: Final = "mcp-protocol-version"
_REVISION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
_ABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
_SENTINEL: Final = ("=?base64?", "?=")

_MAX_ID: Final = 2**63 - 1  # the largest number that the response can repeat

RequestId = StrictStr | Annotated[StrictInt, Field(ge=-_MAX_ID, le=_MAX_ID)]


class RpcError(Exception):
    """An error of JSON-RPC: the request itself is wrong. A tool that fails gives a result instead.

    `status` is the HTTP status; None where it follows from the code and the revision.
    """

    def __init__(self, code: int, message: str, data: Any = None, *, status: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data, self.status = code, message, data, status


class _Envelope(BaseModel):
    """The members of a request or notification; others have no effect."""

    model_config = ConfigDict(extra="ignore")

    jsonrpc: StrictStr = Field(pattern=r"^2\.0$")
    method: StrictStr = Field(min_length=1, max_length=200)
    id: RequestId | None = None
    params: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One request or notification. `id` is None for a notification. `revision` is one of SUPPORTED."""

    method: str
    params: Mapping[str, Any]
    id: str | int | None
    revision: str

    @property
    def is_stateless(self) -> bool:
        """Whether the request follows the revision without a handshake."""
        return self.revision == STATELESS


def read_call(raw: bytes, headers: Mapping[str, str]) -> Call:
    """The request of a body. Raises RpcError for other text, a batch, a response, or an unknown revision."""
    try:
        envelope = parse_body(raw, _Envelope)
    except InvalidRequest as error:
        raise RpcError(PARSE_ERROR, error.message, status=400) from None
    except Unprocessable:
        message = "The body is not one JSON-RPC request or notification. Batches are not taken."
        raise RpcError(INVALID_REQUEST, message, status=400) from None
    is_notification = "id" not in envelope.model_fields_set
    if envelope.id is None and not is_notification:
        raise RpcError(INVALID_REQUEST, "The id of a request is a string or an integer.", status=400)
    call = Call(envelope.method, envelope.params, envelope.id, _revision(headers))
    if call.is_stateless and not is_notification:
        _check_meta(call, headers)
    return call


def _revision(headers: Mapping[str, str]) -> str:
    """The revision of the header; without one the request is of the first revision, which had no such header."""
    asked = headers.get(REVISION_HEADER, HANDSHAKE[-1])
    if asked not in SUPPORTED:
        raise RpcError(
            UNSUPPORTED_REVISION,
            "This protocol version is not supported.",
            {"supported": list(SUPPORTED), "requested": asked[:100]},
            status=400,
        )
    return asked


def _check_meta(call: Call, headers: Mapping[str, str]) -> None:
    """Checks what the stateless revision wants of each request. Raises RpcError."""
    meta = call.params.get("_meta")
    if not isinstance(meta, dict) or not {_REVISION_KEY, _ABILITIES_KEY} <= meta.keys():
        raise RpcError(INVALID_PARAMS, f"params._meta needs {_REVISION_KEY} and {_ABILITIES_KEY}.", status=400)
    named = call.params.get("name") if call.method == "tools/call" else None
    wrong = {
        "MCP-Protocol-Version": meta[_REVISION_KEY] != call.revision,
        "Mcp-Method": headers.get("mcp-method") != call.method,
        "Mcp-Name": named is not None and _plain(headers.get("mcp-name")) != named,
    }
    if names := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise RpcError(HEADER_MISMATCH, f"The header {names[0]} does not match the body.", status=400)


def _plain(value: str | None) -> str | None:
    """The value of a header, which may be written in Base64; None for a malformed one."""
    first, last = _SENTINEL
    if value is None or not (value.startswith(first) and value.endswith(last)):
        return value
    try:
        return base64.b64decode(value[len(first) : -len(last)], validate=True).decode()
    except (binascii.Error, ValueError):
        return None


def result_json(call: Call, result: Mapping[str, Any]) -> dict[str, Any]:
    """The response to a request. The stateless revision also wants the type of the result."""
    body = {"resultType": "complete", **result} if call.is_stateless else dict(result)
    return {"jsonrpc": "2.0", "id": call.id, "result": body}


def error_json(error: RpcError, call: Call | None) -> tuple[int, dict[str, Any]]:
    """The HTTP status and the body of an error; the id is null when the request could not be read.

    Clients of the revisions with a handshake read only bodies of status 200.
    """
    status = error.status
    if status is None:
        status = _STATUSES.get(error.code, 400) if call is not None and call.is_stateless else 200
    details: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        details["data"] = error.data
    return status, {"jsonrpc": "2.0", "id": None if call is None else call.id, "error": details}
