"""Builds the statement of a request on a table."""

from __future__ import annotations

import re

from local.rest import writes
from local.rest.bodies import read_rows
from local.rest.calls import call_statement
from local.rest.errors import ApiError
from local.rest.expressions import quoted
from local.rest.openapi import root_statement
from local.rest.query import Query, parse_query
from local.rest.request import RestRequest
from local.rest.results import MAX_ROWS, Statement, body_of, reject_unused_paths, result_of
from local.rest.schema_cache import SCHEMA, SchemaCache, Table
from local.rest.sql import RESULT, SqlBuilder

_RANGE = re.compile(r"([0-9]{1,15})-([0-9]{0,15})")
_COMMON = ("return", "count", "tx", "handling", "timezone")


def build_statement(request: RestRequest, schema: SchemaCache) -> Statement:
    """The statement of a request. Raises ApiError; its `is_cache_miss` is true when the schema may be outdated."""
    if request.media.explain is not None and not schema.has_plans:  # an error before all others
        accept = request.headers.get("accept", "")
        raise ApiError(406, "PGRST107", f"None of these media types are available: {accept}")
    if not request.path:
        return root_statement()
    is_call = request.path.startswith("rpc/")
    query = parse_query(request.query, is_call=is_call and request.method != "POST")
    builder = SqlBuilder(schema, query)
    _read_range(request, query)
    if is_call:
        return call_statement(request, schema, builder, query)
    table = schema.table(request.path)
    if request.is_read:
        return _read_statement(request, table, builder, query)
    return _write_statement(request, table, builder, query)


def allowed_methods(path: str, schema: SchemaCache) -> str:
    """The Allow header of a path. Raises ApiError 404."""
    if not path:
        return "OPTIONS,GET,HEAD"
    if not path.startswith("rpc/"):
        return schema.table(path).methods()
    name = path.removeprefix("rpc/")
    functions = schema.functions.get(name) or [schema.function(name, set())]
    return "OPTIONS,GET,HEAD,POST" if any(each.is_read_only for each in functions) else "OPTIONS,POST"


def _read_range(request: RestRequest, query: Query) -> None:
    rows, match = query.at_path(""), _RANGE.fullmatch(request.headers.get("range", ""))
    if request.method != "GET" or match is None or rows.limit is not None or rows.offset:
        return
    rows.offset = int(match[1])
    if match[2]:
        rows.limit = int(match[2]) - int(match[1]) + 1
        if rows.limit <= 0:
            details = "The lower boundary must be lower than or equal to the upper boundary in the Range header."
            raise ApiError(416, "PGRST103", "Requested range not satisfiable", details)


def _read_statement(request: RestRequest, table: Table, builder: SqlBuilder, query: Query) -> Statement:
    rows = query.at_path("")
    reference = f"{SCHEMA}.{quoted(table.name)}"
    page = builder.read(table, reference, reference, max_rows=MAX_ROWS)
    reject_unused_paths(builder, query)
    total = f"(select count(*) from {reference}{builder.last_where})" if request.preferences.wants_count else ""
    text = result_of(f"with _page as ({page})", body_of(request), total=total)
    return Statement(text, builder.arguments, is_read_only=True, success_status=200, offset=rows.offset)


def _write_statement(request: RestRequest, table: Table, builder: SqlBuilder, query: Query) -> Statement:
    preferences, is_insert = request.preferences, request.method == "POST"
    change, has_updates = _change(request, table, builder, query)
    is_upsert = request.method == "PUT" or (is_insert and preferences.get("resolution") == "merge-duplicates")
    query.at_path("").where.clear()  # the filter chose the rows to change; it must not filter the result
    location = table.primary_key if is_insert and preferences.get("return") == "headers-only" else ()
    returned = builder.returning(table) if preferences.wants_rows else ", ".join(map(quoted, location)) or "1"
    if change:
        change = f"{change} returning {returned}"
    else:
        source = f" from {SCHEMA}.{quoted(table.name)}" if preferences.wants_rows or location else ""
        change = f"select {returned}{source} where false"
    page, body = f"select 1 from {RESULT}", "''"
    if preferences.wants_rows:
        page, body = builder.read_result(table), body_of(request)
        reject_unused_paths(builder, query)
    is_counted = preferences.wants_count or preferences.max_affected is not None
    steps = f"with {RESULT} as ({change}), _page as ({page})"
    total = f"(select count(*) from {RESULT})" if is_counted or is_upsert else ""
    applied = {
        "POST": (*_COMMON, "missing", *(("resolution",) if table.primary_key or query.on_conflict else ())),
        "PATCH": (*_COMMON, "missing", "max-affected"),
        "DELETE": (*_COMMON, "max-affected"),
    }
    return Statement(
        result_of(steps, body, total=total, counts_updates=has_updates, location=location),
        builder.arguments,
        is_read_only=False,
        success_status=201 if is_insert or is_upsert else 200,
        has_body=preferences.wants_rows,
        applied=applied.get(request.method, _COMMON),
        range_of={"PATCH": "changes", "PUT": ""}.get(request.method, "nothing"),
        status_if_all_updated=200 if is_upsert else None,
    )


def _change(request: RestRequest, table: Table, builder: SqlBuilder, query: Query) -> tuple[str, bool]:
    """The SQL of the change, empty for none, and whether it counts the rows that it updates."""
    rows, resolution = query.at_path(""), request.preferences.get("resolution")
    if request.method == "DELETE":
        writes.reject_limits(rows)
        return writes.delete(builder, table), False
    body = read_rows(request.body, request.content_type)
    if request.method == "PATCH":
        writes.reject_limits(rows)
        return writes.update(builder, table, body, query.columns), False
    if request.method == "PUT":
        writes.check_put(table, body, rows)
        resolution, target = "merge-duplicates", table.primary_key
    else:
        target = query.on_conflict
    conflict = writes.on_conflict(table, body, query.columns, resolution, target) if resolution else ""
    is_defaulted = request.preferences.get("missing") == "default"
    change = writes.insert(builder, table, body, query.columns, is_defaulted, conflict)
    return change, bool(change) and " do update " in conflict
