"""SQL of writes and function calls. The JSON body is passed unchanged as one parameter, so no number is rounded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from local.rest.errors import ApiError
from local.rest.schema_cache import Function, Table
from local.rest.sql import SqlBuilder, quoted


@dataclass(frozen=True)
class Body:
    """The rows of a request body, and their text as a JSON array."""

    rows: list[dict[str, Any]]
    text: str


def read_json(raw: bytes) -> tuple[Any, str]:
    """The JSON value and its text. Raises ApiError 400 for invalid JSON."""
    try:
        text = raw.decode()
        return json.loads(text), text
    except (ValueError, RecursionError):
        raise ApiError(400, "PGRST102", "Empty or invalid json") from None


def read_rows(raw: bytes) -> Body:
    """The rows of a body: one object or a list of objects. Raises ApiError 400 for anything else."""
    value, text = read_json(raw)
    rows = value if isinstance(value, list) else [value]
    if not all(isinstance(row, dict) for row in rows):
        raise ApiError(400, "PGRST102", "Empty or invalid json")
    return Body(rows, text if isinstance(value, list) else f"[{text}]")


def insert(
    builder: SqlBuilder, table: Table, body: Body, columns: tuple[str, ...], is_defaulted: bool, conflict: str
) -> str:
    """An insert of the rows; empty without rows. `conflict` is its on-conflict clause."""
    chosen = list(columns or dict.fromkeys(name for row in body.rows for name in row))
    if not columns and not is_defaulted and any(set(row) != set(chosen) for row in body.rows):
        raise ApiError(400, "PGRST102", "All object keys must match")
    check_columns(table, chosen)
    target = _target(table)
    if not body.rows:
        return ""
    if not chosen:
        return f"insert into {target} default values{conflict}"
    names = ", ".join(map(quoted, chosen))
    rows = f"{builder.parameter(body.text)}::json"
    if is_defaulted:
        values = "values " + ", ".join(_values(target, rows, i, chosen, row) for i, row in enumerate(body.rows))
    else:
        values = f"select {names} from json_populate_recordset(null::{target}, {rows})"
    return f"insert into {target} ({names}) {values}{conflict}"


def _values(target: str, rows: str, index: int, columns: list[str], row: dict[str, Any]) -> str:
    record = f"json_populate_record(null::{target}, {rows} -> {index})"
    return "(" + ", ".join(f"({record}).{quoted(name)}" if name in row else "default" for name in columns) + ")"


def on_conflict(table: Table, body: Body, columns: tuple[str, ...], resolution: str, target: tuple[str, ...]) -> str:
    """The on-conflict clause of an upsert; empty for a table without a primary key and without `target`."""
    target = target or table.primary_key
    if not target:
        return ""
    check_columns(table, target)
    changed = list(columns or dict.fromkeys(name for row in body.rows for name in row))
    clause = f" on conflict ({', '.join(map(quoted, target))}) do "
    if resolution == "ignore-duplicates" or not changed:
        return clause + "nothing"
    return clause + "update set " + ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in changed)


def update(builder: SqlBuilder, table: Table, body: Body, columns: tuple[str, ...]) -> str:
    """An update of the rows that match the filter; empty when it changes no column."""
    names = columns or tuple(body.rows[0] if body.rows else ())
    check_columns(table, names)
    target = _target(table)
    condition = builder.where(table, target)
    if not condition:
        raise ApiError(400, "21000", "UPDATE requires a WHERE clause")
    if not names or not body.rows:
        builder.arguments.clear()  # PostgreSQL rejects an unused parameter
        return ""
    changes = ", ".join(f"{quoted(name)} = _new.{quoted(name)}" for name in names)
    source = f"json_populate_record(null::{target}, {builder.parameter(body.text)}::json -> 0) as _new"
    return f"update {target} set {changes} from {source}{condition}"


def delete(builder: SqlBuilder, table: Table) -> str:
    """A deletion of the rows that match the filter."""
    target = _target(table)
    condition = builder.where(table, target)
    if not condition:
        raise ApiError(400, "21000", "DELETE requires a WHERE clause")
    return f"delete from {target}{condition}"


def call_with_json(builder: SqlBuilder, function: Function, given: dict[str, Any], text: str) -> str:
    """A function call with arguments from a JSON object."""
    used = {name: kind for name, kind in function.arguments.items() if name in given}
    if not used:
        return _call(function, "", "")
    definition = ", ".join(f"{quoted(name)} {kind}" for name, kind in used.items())
    source = f"json_to_record({builder.parameter(text)}::json) as _given ({definition}), lateral "
    return _call(function, source, ", ".join(f"{quoted(name)} := _given.{quoted(name)}" for name in used))


def call_with_texts(builder: SqlBuilder, function: Function, given: dict[str, str]) -> str:
    """A function call with arguments from a query string."""
    used = {name: kind for name, kind in function.arguments.items() if name in given}
    passed = (f"{quoted(name)} := {builder.parameter(given[name])}::{kind}" for name, kind in used.items())
    return _call(function, "", ", ".join(passed))


def _call(function: Function, source: str, passed: str) -> str:
    """The select of a call. A scalar result, also jsonb, is a column named v."""
    name = f"public.{quoted(function.name)}"
    if function.is_composite:
        return f"select _call.* from {source}{name}({passed}) as _call"
    return f"select _call.v from {source}(select {name}({passed}) as v) as _call"


def check_columns(table: Table, names: Iterable[str]) -> None:
    """Raises ApiError 400 for an unknown column."""
    for name in names:
        if name not in table.columns:
            text = f"Could not find the '{name}' column of '{table.name}' in the schema cache"
            raise ApiError(400, "PGRST204", text)


def _target(table: Table) -> str:
    return f"public.{quoted(table.name)}"
