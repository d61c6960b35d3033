"""Builds a function's OpenAPI 3.1 document from its routes and the models of its requests and responses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from shared import errors
from shared.errors import ParleyError

VERSION: Final = "1"
_Model = type[BaseModel]
_Shown = tuple[_Model, JsonSchemaMode]
_References = Mapping[Any, dict[str, Any]]
_EVENT: Final = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}
_EMPTY: Final = {202, 204, 304}
_ERROR_HEADERS: Final[Mapping[str, tuple[set[str], str]]] = {
    "Retry-After": ({"409", "429", "503"}, "Seconds to wait before a retry, when known."),
    "x-should-retry": ({"402", "422", "429", "502"}, "`false` when a retry of the same request cannot succeed."),
}
_REF = "#/components/schemas/{model}"


class ErrorDetail(BaseModel):
    """What went wrong; `metadata` depends on the code."""

    message: str
    type: str
    code: str
    param: str | None
    request_id: str
    metadata: dict[str, Any]


class Error(BaseModel):
    """The body of every error response."""

    error: ErrorDetail


@dataclass(frozen=True, slots=True)
class Success:
    """A success response. `model` is None when it has no JSON body; `also` is the media type of its stream form."""

    description: str
    model: _Model | None = None
    also: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """The requests and responses of a handler.

    `name` begins its operation id; it is the handler's name when it is empty.
    `needs` is whose token the route requires, `key` an access token or an API key; the errors of tokens and bodies
    follow from it and from `body`. `takes` are request headers, `headers` response headers. `words` gives an error the
    status and code of a borrowed protocol, whose errors have the `error_body`.
    """

    summary: str
    successes: Mapping[int, Success]
    body: _Model | None = None
    is_body_optional: bool = False
    needs: Literal["none", "key", "user", "admin", "operator"] = "key"
    errors: tuple[type[ParleyError], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    takes: Mapping[str, str] = field(default_factory=dict)
    words: Callable[[ParleyError], ParleyError] = lambda error: error
    name: str = ""
    error_body: _Model = Error

    @property
    def models(self) -> Iterable[_Shown]:
        """Every model that needs a schema."""
        if self.body is not None:
            yield self.body, "validation"
        for success in self.successes.values():
            if success.model is not None:
                yield success.model, "serialization"
        yield self.error_body, "serialization"

    @property
    def all_errors(self) -> set[type[ParleyError]]:
        """Its own errors, and those of its token and body."""
        found: set[type[ParleyError]] = set(self.errors)
        if self.needs != "none":
            found |= {errors.InternalError, errors.Unauthenticated, errors.KeysUnavailable, errors.DatabaseUnavailable}
            found |= {errors.InvalidApiKey, errors.InsufficientScope, errors.AppNotAllowed}
        if self.needs == "admin":
            found |= {errors.Forbidden, errors.SecondFactorRequired}
        if self.body is not None:
            found |= {
                errors.InvalidRequest,
                errors.BodyTooLarge,
                errors.UnsupportedMediaType,
                errors.Unprocessable,
            }
        return found


_SECURITY: Final[Mapping[str, list[dict[str, list[str]]]]] = {
    "none": [],
    "key": [{"bearer": []}, {"apiKey": []}],
    **{needs: [{"bearer": []}] for needs in ("user", "admin", "operator")},
}
_DOCUMENT: Final = Operation("This document.", {200: Success("OpenAPI 3.1.")}, needs="none", name="get_document")


def document(
    title: str, description: str, handlers: Mapping[str, str], operations: Mapping[str, Operation]
) -> dict[str, Any]:
    """The document of `{"METHOD /path": handler name}`; `operations` are keyed by such a route or by handler name."""
    routed = {route: operations.get(route) or operations[name] for route, name in handlers.items()}
    routed["GET /openapi.json"] = _DOCUMENT
    wanted: set[_Shown] = {pair for operation in routed.values() for pair in operation.models}
    in_order: Sequence[Any] = sorted(wanted, key=lambda pair: (pair[0].__name__, pair[1]))
    references, schemas = models_json_schema(in_order, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    used: set[str] = set()
    for route, operation in routed.items():
        method, path = route.split(" ", 1)
        path = path.replace(":path}", "}")
        item = _operation(method, path, operation, references)
        item["operationId"] = _new_id(operation.name or handlers[route], method, path, used)
        paths.setdefault(path, {})[method.lower()] = item
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": VERSION, "description": description},
        "paths": paths,
        "components": {
            "schemas": _fit_for_generators(schemas["$defs"]),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _new_id(name: str, method: str, path: str, used: set[str]) -> str:
    """The operation id: the name for its first route, with method and path for the others."""
    operation_id = "_".join([name, "by", method.lower(), *re.findall(r"\w+", path)]) if name in used else name
    used.add(operation_id)
    return operation_id


def _fit_for_generators(schema: Any) -> Any:
    """The schema with defaults as words: generators make a field with a default required, or null its value."""
    if isinstance(schema, list):
        return [_fit_for_generators(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    fitting = {key: _fit_for_generators(value) for key, value in schema.items() if not _is_default(key, schema)}
    if _is_default("default", schema) and schema["default"] not in (None, "", [], {}):
        words = f"The default is `{json.dumps(schema['default'])}`."
        fitting["description"] = f"{schema['description']} {words}" if "description" in schema else words
    return fitting


def _is_default(key: str, schema: Mapping[str, Any]) -> bool:
    """Whether the key is the default of a schema, and not a property of that name."""
    return key == "default" and not isinstance(schema.get(key), dict) and key in schema


def _operation(method: str, path: str, operation: Operation, references: _References) -> dict[str, Any]:
    item: dict[str, Any] = {
        "summary": operation.summary,
        "security": _SECURITY[operation.needs],
        "responses": _successes(operation, references),
    }
    for status, response in _failures(operation, references).items():
        item["responses"].setdefault(status, response)
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    parameters += [
        {"name": name, "in": "header", "description": what, "schema": {"type": "string"}}
        for name, what in operation.takes.items()
    ]
    if parameters:
        item["parameters"] = parameters
    if operation.body is not None and method != "GET":
        schema = references[operation.body, "validation"]
        content = {"application/json": {"schema": schema}}
        item["requestBody"] = {"required": not operation.is_body_optional, "content": content}
    return item


def _successes(operation: Operation, references: _References) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, success in operation.successes.items():
        schema = {} if success.model is None else references[success.model, "serialization"]
        response: dict[str, Any] = {"description": success.description}
        if status not in _EMPTY:
            response["content"] = {"application/json": {"schema": schema}}
        if success.also:
            response["content"][success.also] = {"schema": _EVENT}
        if operation.headers:
            response["headers"] = _headers(operation.headers)
        responses[str(status)] = response
    return responses


def _failures(operation: Operation, references: _References) -> dict[str, Any]:
    codes: dict[str, list[str]] = {}
    shown = [operation.words(error("An error.")) for error in operation.all_errors]
    for status, code in sorted({(e.status, e.wording.code if e.wording else e.code) for e in shown}):
        codes.setdefault(str(status), []).append(code)
    content = {"application/json": {"schema": references[operation.error_body, "serialization"]}}
    responses: dict[str, Any] = {}
    for status_text, found in codes.items():
        responses[status_text] = {"description": " · ".join(f"`{each}`" for each in found), "content": content}
        if headers := {name: what for name, (statuses, what) in _ERROR_HEADERS.items() if status_text in statuses}:
            responses[status_text]["headers"] = _headers(headers)
    return responses


def _headers(descriptions: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"description": what, "schema": {"type": "string"}} for name, what in descriptions.items()}
