"""What a tool of the MCP server is, and the result of its call."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from functions.assist.mcp.messages import INVALID_PARAMS, RpcError
from shared.auth import Person
from shared.error_response import error_body
from shared.errors import ParleyError
from shared.validation import describe

Arguments = TypeVar("Arguments", bound=BaseModel)
_MAX_ERRORS = 5
_RECEIPT, _ERROR = "parley/receipt", "parley/error"
READS: Final = {"readOnlyHint": True, "openWorldHint": False}
"""Annotations of a tool that changes nothing and asks no model."""
ASKS: Final = {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False, "openWorldHint": True}
"""Annotations of a tool that asks a model, which costs money and adds rows."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls a tool, and the request that does. `arrived` is its time by time.monotonic()."""

    person: Person
    scopes: frozenset[str]
    request_id: str
    arrived: float


@dataclass(frozen=True, slots=True)
class Output:
    """The result of a call. `text` is for the model; None means the JSON of `value`."""

    value: Mapping[str, Any]
    text: str | None = None
    receipt: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class McpTool(Generic[Arguments]):
    """A tool: `arguments` describes and checks its input; `scope` is what the client's key or app needs.

    `run` raises ParleyError, which becomes a result with `isError`. `is_offered` is whether this deployment has it.
    """

    name: str
    title: str
    description: str
    scope: str
    arguments: type[Arguments]
    output: Callable[[], Mapping[str, Any]]
    run: Callable[[Caller, Arguments], Awaitable[Output]]
    annotations: Mapping[str, bool] = field(default_factory=lambda: ASKS)
    hidden: frozenset[str] = frozenset()
    is_offered: Callable[[], bool] = lambda: True

    @functools.cached_property
    def input_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the arguments. Unlike a preset's body, arguments take no unknown fields."""
        schema = self.arguments.model_json_schema()
        schema.pop("title", None)
        schema.pop("description", None)
        schema["properties"] = {name: each for name, each in schema["properties"].items() if name not in self.hidden}
        schema["additionalProperties"] = False
        return schema

    @functools.cached_property
    def listed(self) -> Mapping[str, Any]:
        """The tool as `tools/list` shows it."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.input_schema,
            "outputSchema": self.output(),
            "annotations": {"title": self.title, **self.annotations},
        }

    def read(self, given: object) -> Arguments:
        """The checked arguments. Raises RpcError -32602, which names what does not fit."""
        if not isinstance(given, dict):
            raise RpcError(INVALID_PARAMS, "arguments: Input should be an object")
        known = self.input_schema["properties"]
        if unknown := sorted(given.keys() - known.keys()):
            message = (
                f"{unknown[0][:100]}: There is no such argument. {self.name} takes: {', '.join(known) or 'nothing'}."
            )
            raise RpcError(INVALID_PARAMS, message)
        try:
            return self.arguments.model_validate(given)
        except ValidationError as error:
            raise RpcError(INVALID_PARAMS, "; ".join(describe(error, "arguments", _MAX_ERRORS))) from None


def result_of(output: Output) -> dict[str, Any]:
    """The result of a call that succeeded."""
    text = json.dumps(output.value, ensure_ascii=False) if output.text is None else output.text
    result: dict[str, Any] = {
        "content": [{"type": "text", "text": text}],
        "structuredContent": output.value,
        "isError": False,
    }
    return result if output.receipt is None else result | {"_meta": {_RECEIPT: output.receipt}}


def failure_of(error: ParleyError, request_id: str) -> dict[str, Any]:
    """The result of a call that failed: the model reads the code, the message and what to do."""
    text = f"{error.code}: {error.message} {error.client_action}"
    details = error_body(error, request_id)["error"]
    return {"content": [{"type": "text", "text": text}], "isError": True, "_meta": {_ERROR: details}}
