"""Builds the one SQL statement of a request, with the meaning of its result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.rest import writes
from local.rest.errors import ApiError
from local.rest.query import Query, parse_query
from local.rest.schema_cache import Function, SchemaCache, Table
from local.rest.sql import RESULT, SqlBuilder, quoted

_MAX_ROWS = 1000
_RANGE = re.compile(r"([0-9]{1,15})-([0-9]{0,15})")
_OBJECT = "application/vnd.pgrst.object"
_OTHER_KINDS = re.compile(r"(text/csv|application/geo\+json|application/vnd\.pgrst\.plan|text/xml)\b")


@dataclass(frozen=True)
class RestRequest:
    """A request. `path` is the decoded path below /rest/v1; `query` is not decoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def accept(self) -> str:
        """The Accept header."""
        return self.headers.get("accept", "*/*")

    @property
    def is_single(self) -> bool:
        """Whether the client wants exactly one row as an object."""
        return _OBJECT in self.accept

    @property
    def preferences(self) -> dict[str, str]:
        """The preferences of the Prefer header by name."""
        parts = (part.partition("=") for part in self.headers.get("prefer", "").split(","))
        return {name.strip(): value.strip() for name, _, value in parts}


@dataclass(frozen=True)
class Statement:
    """One statement with the settings of its transaction and of its response.

    The result is one row: (total or null, count of rows, JSON text, response.status, response.headers).
    """

    sql: str
    arguments: list[Any]
    is_read_only: bool
    success_status: int
    offset: int = 0
    has_body: bool = True
    settings: tuple[tuple[str, str], ...] = field(default=())


def build_statement(request: RestRequest, schema: SchemaCache) -> Statement:
    """The statement of a request. Raises ApiError; its `is_cache_miss` is true when the schema may be outdated."""
    if _OTHER_KINDS.match(request.accept):
        raise ApiError(406, "PGRST107", f"None of these media types are available: {request.accept}")
    is_call = request.path.startswith("rpc/")
    query = parse_query(request.query, is_call=is_call and request.method != "POST")
    builder = SqlBuilder(schema, query)
    if is_call:
        return _call_statement(request, schema, builder, query)
    table = schema.table(request.path)
    if request.method in {"GET", "HEAD"}:
        return _read_statement(request, table, builder, query)
    return _write_statement(request, table, builder, query)


def _read_statement(request: RestRequest, table: Table, builder: SqlBuilder, query: Query) -> Statement:
    rows = query.at_path("")
    if (match := _RANGE.fullmatch(request.headers.get("range", ""))) and rows.limit is None and not rows.offset:
        rows.offset = int(match[1])
        if match[2]:
            rows.limit = int(match[2]) - int(match[1]) + 1
            if rows.limit <= 0:
                raise ApiError(416, "PGRST103", "Requested range not satisfiable")
    reference = f"public.{quoted(table.name)}"
    page = builder.read(table, reference, reference, max_rows=_MAX_ROWS)
    _reject_unused_paths(builder, query)
    total = f"(select count(*) from {reference}{builder.last_where})" if "count" in request.preferences else ""
    text = _with_totals(f"with _page as ({page})", total, _rows_as_json(request))
    return Statement(text, builder.arguments, is_read_only=True, success_status=200, offset=rows.offset)


def _write_statement(request: RestRequest, table: Table, builder: SqlBuilder, query: Query) -> Statement:
    wants_rows = request.preferences.get("return") == "representation"
    change = _change(request, table, builder, query)
    query.at_path("").where.clear()  # the filter chose the rows to change; it must not filter the result
    returned = builder.returning(table) if wants_rows else "1"
    if change:
        change = f"{change} returning {returned}"
    else:
        source = f" from public.{quoted(table.name)}" if wants_rows else ""
        change = f"select {returned}{source} where false"
    page, rows_json = f"select 1 from {RESULT}", "''"
    if wants_rows:
        page, rows_json = builder.read_result(table), _rows_as_json(request)
        _reject_unused_paths(builder, query)
    total = f"(select count(*) from {RESULT})" if "count" in request.preferences else ""
    success_status = 201 if request.method == "POST" else 200 if wants_rows else 204
    text = _with_totals(f"with {RESULT} as ({change}), _page as ({page})", total, rows_json)
    return Statement(text, builder.arguments, is_read_only=False, success_status=success_status, has_body=wants_rows)


def _change(request: RestRequest, table: Table, builder: SqlBuilder, query: Query) -> str:
    if request.method == "DELETE":
        return writes.delete(builder, table)
    if request.method not in {"POST", "PATCH"}:
        raise ApiError(405, "PGRST117", f"Unsupported HTTP method: {request.method}")
    body = writes.read_rows(request.body)
    if request.method == "PATCH":
        return writes.update(builder, table, body, query.columns)
    resolution, conflict = request.preferences.get("resolution"), ""
    if resolution:
        conflict = writes.on_conflict(table, body, query.columns, resolution, query.on_conflict)
    is_defaulted = request.preferences.get("missing") == "default"
    return writes.insert(builder, table, body, query.columns, is_defaulted, conflict)


def _call_statement(request: RestRequest, schema: SchemaCache, builder: SqlBuilder, query: Query) -> Statement:
    if request.method not in {"GET", "HEAD", "POST"}:
        raise ApiError(405, "PGRST101", f"Cannot use the {request.method} method on RPC")
    name, is_posted = request.path.removeprefix("rpc/"), request.method == "POST"
    if is_posted:
        given, body = writes.read_json(request.body or b"{}")
        if not isinstance(given, dict):
            raise ApiError(400, "PGRST102", "Empty or invalid json")
        function = schema.function(name, set(given))
        call = writes.call_with_json(builder, function, given, body)
    else:
        function = schema.function(name, set(query.arguments))
        call = writes.call_with_texts(builder, function, query.arguments)
    page, last_where = f"select v from {RESULT}", ""
    if function.is_composite:
        table = schema.tables.get(function.table or "", Table(name, {}, ()))
        page = builder.read_result(table, max_rows=_MAX_ROWS if function.is_set else None)
        last_where = builder.last_where
        _reject_unused_paths(builder, query)
    total = f"(select count(*) from {RESULT}{last_where})" if "count" in request.preferences else ""
    return Statement(
        _with_totals(f"with {RESULT} as ({call}), _page as ({page})", total, _result_as_json(request, function)),
        builder.arguments,
        is_read_only=not is_posted or function.is_read_only,
        success_status=204 if function.is_void else 200,
        offset=query.at_path("").offset,
        has_body=not function.is_void,
        settings=function.settings,
    )


def _reject_unused_paths(builder: SqlBuilder, query: Query) -> None:
    unused = set(query.rows) - builder.used_paths
    if unused:
        raise ApiError(400, "PGRST108", f"'{min(unused)}' is not an embedded resource in this request")


def _result_as_json(request: RestRequest, function: Function) -> str:
    value = "_page" if function.is_composite else "_page.v"
    return _aggregated(request, value, is_single=request.is_single or not function.is_set)


def _rows_as_json(request: RestRequest) -> str:
    return _aggregated(request, "_page", is_single=request.is_single)


def _aggregated(request: RestRequest, value: str, *, is_single: bool) -> str:
    text = f"coalesce(json_agg({value}) -> 0, 'null')" if is_single else f"coalesce(json_agg({value}), '[]')"
    return f"json_strip_nulls({text})" if "nulls=stripped" in request.accept else text


def _with_totals(steps: str, total: str, rows_json: str) -> str:
    settings = ", ".join(f"nullif(current_setting('response.{name}', true), '')" for name in ("status", "headers"))
    return f"{steps} select {total or 'null::bigint'}, count(*), ({rows_json})::text, {settings} from _page"
