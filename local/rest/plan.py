"""From what was asked to one SQL statement, and what its result means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.rest import changes
from local.rest.catalogue import Catalogue, Function, Table
from local.rest.errors import ApiError
from local.rest.query import Query, parse_query
from local.rest.sql import RESULT, Statement, quoted

_MAX_ROWS = 1000
_RANGE = re.compile(r"([0-9]{1,15})-([0-9]{0,15})")
_OBJECT = "application/vnd.pgrst.object"
_OTHER_KINDS = re.compile(r"(text/csv|application/geo\+json|application/vnd\.pgrst\.plan|text/xml)\b")


@dataclass(frozen=True)
class Asked:
    """A request; `path` is below /rest/v1 and decoded, `query` is as it came."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def accept(self) -> str:
        """The media types the caller wants."""
        return self.headers.get("accept", "*/*")

    @property
    def is_single(self) -> bool:
        """Whether exactly one row is wanted, as an object."""
        return _OBJECT in self.accept

    @property
    def preferences(self) -> dict[str, str]:
        """What the Prefer header says."""
        parts = (part.partition("=") for part in self.headers.get("prefer", "").split(","))
        return {name.strip(): value.strip() for name, _, value in parts}


@dataclass(frozen=True)
class Work:
    """One statement with its transaction's settings, and how its result becomes a response.

    Its row is (total or null, count of rows, JSON text, response.status, response.headers).
    """

    sql: str
    arguments: list[Any]
    is_read_only: bool
    success: int
    offset: int = 0
    has_body: bool = True
    settings: tuple[tuple[str, str], ...] = field(default=())


def plan(asked: Asked, catalogue: Catalogue) -> Work:
    """Raises ApiError for what cannot be done; its `is_cache_miss` says that the catalogue may be old."""
    if _OTHER_KINDS.match(asked.accept):
        raise ApiError(406, "PGRST107", f"None of these media types are available: {asked.accept}")
    is_call = asked.path.startswith("rpc/")
    query = parse_query(asked.query, is_call=is_call and asked.method != "POST")
    statement = Statement(catalogue, query)
    if is_call:
        return _plan_call(asked, catalogue, statement, query)
    table = catalogue.table(asked.path)
    if asked.method in {"GET", "HEAD"}:
        return _plan_read(asked, table, statement, query)
    return _plan_write(asked, table, statement, query)


def _plan_read(asked: Asked, table: Table, statement: Statement, query: Query) -> Work:
    rows = query.of("")
    if (match := _RANGE.fullmatch(asked.headers.get("range", ""))) and rows.limit is None and not rows.offset:
        rows.offset = int(match[1])
        if match[2]:
            rows.limit = int(match[2]) - int(match[1]) + 1
            if rows.limit <= 0:
                raise ApiError(416, "PGRST103", "Requested range not satisfiable")
    reference = f"public.{quoted(table.name)}"
    page = statement.read(table, reference, reference, max_rows=_MAX_ROWS)
    _refuse_unused(statement, query)
    total = f"(select count(*) from {reference}{statement.narrowed})" if "count" in asked.preferences else ""
    text = _wrapped(f"with _page as ({page})", total, _rows_as_json(asked))
    return Work(text, statement.arguments, is_read_only=True, success=200, offset=rows.offset)


def _plan_write(asked: Asked, table: Table, statement: Statement, query: Query) -> Work:
    wants_rows = asked.preferences.get("return") == "representation"
    change = _change(asked, table, statement, query)
    query.of("").where.clear()  # they chose what to change, not what of it to show
    returned = statement.returning(table) if wants_rows else "1"
    if change:
        change = f"{change} returning {returned}"
    else:
        source = f" from public.{quoted(table.name)}" if wants_rows else ""
        change = f"select {returned}{source} where false"
    page, shown = f"select 1 from {RESULT}", "''"
    if wants_rows:
        page, shown = statement.read_result(table), _rows_as_json(asked)
        _refuse_unused(statement, query)
    total = f"(select count(*) from {RESULT})" if "count" in asked.preferences else ""
    success = 201 if asked.method == "POST" else 200 if wants_rows else 204
    text = _wrapped(f"with {RESULT} as ({change}), _page as ({page})", total, shown)
    return Work(text, statement.arguments, is_read_only=False, success=success, has_body=wants_rows)


def _change(asked: Asked, table: Table, statement: Statement, query: Query) -> str:
    if asked.method == "DELETE":
        return changes.delete(statement, table)
    if asked.method not in {"POST", "PATCH"}:
        raise ApiError(405, "PGRST117", f"Unsupported HTTP method: {asked.method}")
    body = changes.read_rows(asked.body)
    if asked.method == "PATCH":
        return changes.update(statement, table, body, query.columns)
    resolution, conflict = asked.preferences.get("resolution"), ""
    if resolution:
        conflict = changes.on_conflict(table, body, query.columns, resolution, query.on_conflict)
    is_defaulted = asked.preferences.get("missing") == "default"
    return changes.insert(statement, table, body, query.columns, is_defaulted, conflict)


def _plan_call(asked: Asked, catalogue: Catalogue, statement: Statement, query: Query) -> Work:
    if asked.method not in {"GET", "HEAD", "POST"}:
        raise ApiError(405, "PGRST101", f"Cannot use the {asked.method} method on RPC")
    name, is_posted = asked.path.removeprefix("rpc/"), asked.method == "POST"
    if is_posted:
        given, body = changes.read_json(asked.body or b"{}")
        if not isinstance(given, dict):
            raise ApiError(400, "PGRST102", "Empty or invalid json")
        function = catalogue.function(name, set(given))
        call = changes.call_with_json(statement, function, given, body)
    else:
        function = catalogue.function(name, set(query.arguments))
        call = changes.call_with_texts(statement, function, query.arguments)
    page, narrowed = f"select v from {RESULT}", ""
    if function.is_composite:
        table = catalogue.tables.get(function.table or "", Table(name, {}, ()))
        page = statement.read_result(table, max_rows=_MAX_ROWS if function.is_set else None)
        narrowed = statement.narrowed
        _refuse_unused(statement, query)
    total = f"(select count(*) from {RESULT}{narrowed})" if "count" in asked.preferences else ""
    return Work(
        _wrapped(f"with {RESULT} as ({call}), _page as ({page})", total, _result_as_json(asked, function)),
        statement.arguments,
        is_read_only=not is_posted or function.is_read_only,
        success=204 if function.is_void else 200,
        offset=query.of("").offset,
        has_body=not function.is_void,
        settings=function.settings,
    )


def _refuse_unused(statement: Statement, query: Query) -> None:
    unused = set(query.rows) - statement.used_paths
    if unused:
        raise ApiError(400, "PGRST108", f"'{min(unused)}' is not an embedded resource in this request")


def _result_as_json(asked: Asked, function: Function) -> str:
    value = "_page" if function.is_composite else "_page.v"
    return _aggregated(asked, value, is_single=asked.is_single or not function.is_set)


def _rows_as_json(asked: Asked) -> str:
    return _aggregated(asked, "_page", is_single=asked.is_single)


def _aggregated(asked: Asked, value: str, *, is_single: bool) -> str:
    text = f"coalesce(json_agg({value}) -> 0, 'null')" if is_single else f"coalesce(json_agg({value}), '[]')"
    return f"json_strip_nulls({text})" if "nulls=stripped" in asked.accept else text


def _wrapped(steps: str, total: str, shown: str) -> str:
    settings = ", ".join(f"nullif(current_setting('response.{name}', true), '')" for name in ("status", "headers"))
    return f"{steps} select {total or 'null::bigint'}, count(*), ({shown})::text, {settings} from _page"
