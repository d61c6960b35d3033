"""SQL of writes. The JSON body is passed unchanged as one parameter, so no number is rounded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from local.rest.bodies import Body
from local.rest.errors import ApiError
from local.rest.expressions import quoted
from local.rest.query import RowSelection
from local.rest.results import UPDATED
from local.rest.schema_cache import SCHEMA, Table
from local.rest.sql import SqlBuilder
from local.rest.syntax import Condition


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
    changes = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in changed)
    count = f"coalesce(nullif(current_setting('{UPDATED}', true), ''), '0')::int + 1"
    return f"{clause}update set {changes} where set_config('{UPDATED}', ({count})::text, true) <> ''"


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


def reject_limits(rows: RowSelection) -> None:
    """Raises ApiError 400 for a limit of a change, which PostgREST does not apply to the change."""
    if rows.limit is not None or rows.offset:
        raise ApiError(400, "PGRST127", "Feature not implemented", "limit and offset of an update or a deletion")


def check_put(table: Table, body: Body, rows: RowSelection) -> None:
    """Raises ApiError unless the filter is exactly the primary key of the only row of the body."""
    if rows.limit is not None or rows.offset:
        raise ApiError(400, "PGRST114", "limit/offset querystring parameters are not allowed for PUT")
    keys = {
        each.field.name: str(each.value)
        for each in rows.where
        if isinstance(each, Condition) and each.operator == "eq" and not each.is_negated and not each.field.path
    }
    if len(keys) != len(rows.where) or not keys or set(keys) != set(table.primary_key):
        text = "Filters must include all and only primary key columns with 'eq' operators"
        raise ApiError(405, "PGRST105", text)
    if len(body.rows) != 1 or any(_text(body.rows[0].get(name)) != value for name, value in keys.items()):
        raise ApiError(400, "PGRST115", "Payload values do not match URL in primary key column(s)")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) or value is None else str(value)


def check_columns(table: Table, names: Iterable[str]) -> None:
    """Raises ApiError 400 for an unknown column."""
    for name in names:
        if name not in table.columns:
            text = f"Could not find the '{name}' column of '{table.name}' in the schema cache"
            raise ApiError(400, "PGRST204", text)


def _target(table: Table) -> str:
    return f"{SCHEMA}.{quoted(table.name)}"
