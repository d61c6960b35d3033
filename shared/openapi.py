"""A function's OpenAPI 3.1 document, from its own routes and the models it reads and answers with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
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
_EMPTY: Final = {204, 304}
_ON_REFUSALS: Final[Mapping[str, tuple[set[str], str]]] = {
    "Retry-After": ({"409", "429", "503"}, "Seconds to wait, where it is known when it helps to ask again."),
    "x-should-retry": ({"402", "422", "429", "502"}, "`false` where asking the same again cannot help."),
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
    """Every refusal of every function."""

    error: ErrorDetail


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer: its model, or None when there is no JSON; `also` is the type of the events it may come in."""

    description: str
    model: _Model | None = None
    also: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """What a handler takes and gives. `needs` is whose token; tokens and bodies fail in ways known to all.

    `takes` are headers of the request, `told_as` refusals that come under another status, too.
    """

    summary: str
    answers: Mapping[int, Answer]
    body: _Model | None = None
    is_body_optional: bool = False
    needs: Literal["nobody", "person", "admin", "operator"] = "person"
    refusals: tuple[type[ParleyError], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    takes: Mapping[str, str] = field(default_factory=dict)
    told_as: Mapping[int, tuple[type[ParleyError], ...]] = field(default_factory=dict)

    @property
    def models(self) -> Iterable[_Shown]:
        """Everything it needs a schema of."""
        if self.body is not None:
            yield self.body, "validation"
        for answer in self.answers.values():
            if answer.model is not None:
                yield answer.model, "serialization"

    @property
    def all_refusals(self) -> set[type[ParleyError]]:
        """Its own, and those of its kind."""
        found: set[type[ParleyError]] = set(self.refusals)
        if self.needs != "nobody":
            found |= {errors.InternalError, errors.Unauthenticated, errors.KeysUnavailable, errors.DatabaseUnavailable}
        if self.needs == "admin":
            found.add(errors.Forbidden)
        if self.body is not None:
            found |= {
                errors.InvalidRequest,
                errors.BodyTooLarge,
                errors.UnsupportedMediaType,
                errors.Unprocessable,
            }
        return found


_DOCUMENT: Final = Operation("This document.", {200: Answer("OpenAPI 3.1.")}, needs="nobody")


def document(
    title: str, description: str, handlers: Mapping[str, str], operations: Mapping[str, Operation]
) -> dict[str, Any]:
    """The document of `{"METHOD /path": name of its handler}`, each with its operation, and of its own route."""
    routed = {route: operations[name] for route, name in handlers.items()} | {"GET /openapi.json": _DOCUMENT}
    wanted: set[_Shown] = {pair for operation in routed.values() for pair in operation.models}
    wanted.add((Error, "serialization"))
    in_order: Sequence[Any] = sorted(wanted, key=lambda pair: (pair[0].__name__, pair[1]))
    references, schemas = models_json_schema(in_order, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route, operation in routed.items():
        method, path = route.split(" ", 1)
        path = path.replace(":path}", "}")
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, operation, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": VERSION, "description": description},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(method: str, path: str, operation: Operation, references: _References) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *re.findall(r"\w+", path)]),
        "summary": operation.summary,
        "security": [] if operation.needs == "nobody" else [{"bearer": []}],
        "responses": _responses(operation, references),
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    parameters += [
        {"name": name, "in": "header", "description": what, "schema": {"type": "string"}}
        for name, what in operation.takes.items()
    ]
    if parameters:
        told["parameters"] = parameters
    if operation.body is not None and method != "GET":
        schema = references[operation.body, "validation"]
        content = {"application/json": {"schema": schema}}
        told["requestBody"] = {"required": not operation.is_body_optional, "content": content}
    return told


def _responses(operation: Operation, references: _References) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, answer in operation.answers.items():
        schema = {} if answer.model is None else references[answer.model, "serialization"]
        told: dict[str, Any] = {"description": answer.description}
        if status not in _EMPTY:
            told["content"] = {"application/json": {"schema": schema}}
        if answer.also:
            told["content"][answer.also] = {"schema": _EVENT}
        if operation.headers:
            told["headers"] = _headers(operation.headers)
        responses[str(status)] = told
    refused: dict[str, list[str]] = {}
    for refusal in sorted(operation.all_refusals, key=lambda each: (each.status, each.code)):
        refused.setdefault(str(refusal.status), []).append(refusal.code)
    for status, refusals in operation.told_as.items():
        refused.setdefault(str(status), []).extend(refusal.code for refusal in refusals)
    error = {"application/json": {"schema": references[Error, "serialization"]}}
    for code, codes in refused.items():
        if code not in responses:
            responses[code] = {"description": " · ".join(f"`{each}`" for each in codes), "content": error}
            if told := {name: what for name, what in _ON_REFUSALS.items() if code in what[0]}:
                responses[code]["headers"] = _headers({name: what for name, (_, what) in told.items()})
    return responses


def _headers(told: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"description": what, "schema": {"type": "string"}} for name, what in told.items()}
