"""Builds the statement of a function call."""

from __future__ import annotations

from typing import Any

from local.rest import bodies
from local.rest.errors import ApiError
from local.rest.expressions import quoted
from local.rest.query import Query
from local.rest.request import RestRequest
from local.rest.results import MAX_ROWS, Statement, body_of, reject_unused_paths, result_of
from local.rest.schema_cache import SCHEMA, Function, SchemaCache, Table
from local.rest.sql import RESULT, SqlBuilder


def call_statement(request: RestRequest, schema: SchemaCache, builder: SqlBuilder, query: Query) -> Statement:
    """The statement of a call. Raises ApiError."""
    if not request.is_read and request.method != "POST":
        raise ApiError(405, "PGRST101", f"Cannot use the {request.method} method on RPC")
    function, call = _call(request, schema, builder, query)
    has_limit = request.preferences.max_affected is not None
    if has_limit and not function.is_set:
        text = "Function must return SETOF or TABLE when max-affected preference is used with handling=strict"
        raise ApiError(400, "PGRST128", text)
    max_rows = MAX_ROWS if function.is_set else None
    if function.is_composite:
        table = schema.tables.get(function.table or "", Table(function.name, {}, ()))
        page = builder.read_result(table, max_rows=max_rows)
    else:
        page = builder.read_scalars(max_rows=max_rows)
    last_where = "" if has_limit else builder.last_where
    reject_unused_paths(builder, query)
    is_counted = has_limit or request.preferences.wants_count
    value = "_page" if function.is_composite else "_page.v"
    return Statement(
        result_of(
            f"with {RESULT} as ({call}), _page as ({page})",
            body_of(request, value, is_single=not function.is_set),
            total=f"(select count(*) from {RESULT}{last_where})" if is_counted else "",
        ),
        builder.arguments,
        is_read_only=request.is_read or function.is_read_only,
        success_status=204 if function.is_void else 200,
        offset=query.at_path("").offset,
        has_body=not function.is_void,
        settings=function.settings,
        applied=("count", "tx", "handling", "timezone", "max-affected"),
    )


def _call(request: RestRequest, schema: SchemaCache, builder: SqlBuilder, query: Query) -> tuple[Function, str]:
    name, kind = request.path.removeprefix("rpc/"), request.content_type
    if request.is_read:
        return _with_texts(builder, schema.function(name, set(query.arguments)), query.repeated)
    if kind == bodies.FORM:
        form = bodies.read_form(request.body)
        return _with_texts(builder, schema.function(name, set(form), kind), {key: [form[key]] for key in form})
    if kind in bodies.WHOLE:
        function = schema.function(name, set(), kind)
        whole: Any = request.body if kind == "application/octet-stream" else request.body.decode(errors="replace")
        return function, _text(function, "", f"{builder.parameter(whole)}::{function.parameters[0][1]}")
    if kind != "application/json":
        raise bodies.unacceptable(kind)
    given, text = bodies.read_json(request.body or b"{}")
    names = set(given if isinstance(given, dict) else given[0] if _is_list_of_rows(given) else ())
    function = schema.function(name, set(query.columns) or names, kind)
    if function.takes_body(kind):
        return function, _text(function, "", f"{builder.parameter(text)}::{function.parameters[0][1]}")
    if not isinstance(given, dict):
        raise ApiError(400, "PGRST102", "Empty or invalid json")
    return function, _with_json(builder, function, set(query.columns) or names, text)


def _is_list_of_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _with_json(builder: SqlBuilder, function: Function, given: set[str], text: str) -> str:
    """A call with arguments from a JSON object, which is passed unchanged, so no number is rounded."""
    used = {name: kind for name, kind in function.arguments.items() if name in given}
    if not used:
        return _text(function, "", "")
    definition = ", ".join(f"{quoted(name)} {kind}" for name, kind in used.items())
    source = f"json_to_record({builder.parameter(text)}::json) as _given ({definition}), lateral "
    passed = (f"{_variadic(function, name)}{quoted(name)} := _given.{quoted(name)}" for name in used)
    return _text(function, source, ", ".join(passed))


def _with_texts(builder: SqlBuilder, function: Function, given: dict[str, list[str]]) -> tuple[Function, str]:
    """A call with arguments from a query string or a form."""
    passed = []
    for name, kind in function.arguments.items():
        if name in given:
            values = given[name]
            value: Any = values if _variadic(function, name) and not values[0].startswith("{") else values[-1]
            passed.append(f"{_variadic(function, name)}{quoted(name)} := {builder.parameter(value)}::{kind}")
    return function, _text(function, "", ", ".join(passed))


def _variadic(function: Function, name: str) -> str:
    return "variadic " if function.is_variadic and name == function.parameters[-1][0] else ""


def _text(function: Function, source: str, passed: str) -> str:
    """The select of a call. A scalar result, also jsonb, is a column named v."""
    name = f"{SCHEMA}.{quoted(function.name)}"
    if function.is_composite:
        return f"select _call.* from {source}{name}({passed}) as _call"
    return f"select _call.v from {source}(select {name}({passed}) as v) as _call"
