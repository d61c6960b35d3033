"""One statement per request: identifiers are quoted, every value is a parameter that PostgreSQL casts itself."""

from __future__ import annotations

import json
import re
from typing import Any

from local.rest.catalogue import Catalogue, Function, Table
from local.rest.errors import ApiError
from local.rest.query import OPERATORS, Column, Condition, Embed, Field, Group, Query, Rows

_CAST = re.compile(r"[A-Za-z_]\w*( [A-Za-z_]\w*)*(\(\d+(,\d+)?\))?(\[\])?")
_RESULT = "_result"


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


class Statement:
    """Builds the SQL of one request; `arguments` are its parameters in order."""

    def __init__(self, catalogue: Catalogue, query: Query) -> None:
        self.arguments: list[Any] = []
        self.used_paths = {""}
        self._catalogue, self._query = catalogue, query
        self._aliases = 0

    def parameter(self, value: Any) -> str:
        """The placeholder of a new parameter."""
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def read(self, table: Table, source: str, reference: str, *, max_rows: int | None = None) -> str:
        """A select of the query's columns and rows."""
        return self._select(table, source, reference, self._query.select, "", max_rows=max_rows)

    def where(self, table: Table, reference: str) -> str:
        """The root's conditions as a where clause, empty without any."""
        return _where([self._condition(table, reference, each) for each in self._query.of("").where])

    def insert(self, table: Table, rows: list[dict[str, Any]], preferences: dict[str, str]) -> str:
        """An insert of the rows; upserting when the preferences say so."""
        columns = list(self._query.columns or dict.fromkeys(name for row in rows for name in row))
        is_defaulted = preferences.get("missing") == "default"
        if not self._query.columns and not is_defaulted and any(set(row) != set(columns) for row in rows):
            raise ApiError(400, "PGRST102", "All object keys must match")
        _check_columns(table, columns)
        target = quoted(table.name)
        names = ", ".join(map(quoted, columns))
        if not rows or not columns:
            values = "default values" if rows else f"select * from public.{target} where false"
            return f"insert into public.{target} {values}"
        if is_defaulted:
            values = "values " + ", ".join(self._tuple_with_defaults(target, columns, row) for row in rows)
        else:
            body = self.parameter(json.dumps(rows))
            values = f"select {names} from json_populate_recordset(null::public.{target}, {body}::json)"
        return f"insert into public.{target} ({names}) {values}" + self._on_conflict(table, columns, preferences)

    def _tuple_with_defaults(self, target: str, columns: list[str], row: dict[str, Any]) -> str:
        body = self.parameter(json.dumps(row))
        record = f"json_populate_record(null::public.{target}, {body}::json)"
        return "(" + ", ".join(f"({record}).{quoted(c)}" if c in row else "default" for c in columns) + ")"

    def _on_conflict(self, table: Table, columns: list[str], preferences: dict[str, str]) -> str:
        resolution = preferences.get("resolution")
        target = self._query.on_conflict or table.primary_key
        if not resolution or not target:
            return ""
        _check_columns(table, target)
        clause = f" on conflict ({', '.join(map(quoted, target))}) do "
        if resolution == "ignore-duplicates":
            return clause + "nothing"
        return clause + "update set " + ", ".join(f"{quoted(c)} = excluded.{quoted(c)}" for c in columns)

    def update(self, table: Table, row: dict[str, Any]) -> str:
        """An update of the rows that the conditions name."""
        _check_columns(table, row)
        target = quoted(table.name)
        condition = self.where(table, f"public.{target}")
        if not condition:
            raise ApiError(400, "21000", "UPDATE requires a WHERE clause")
        if not row:
            return f"select * from public.{target} where false"
        body = self.parameter(json.dumps(row))
        changes = ", ".join(f"{quoted(name)} = _new.{quoted(name)}" for name in row)
        source = f"json_populate_record(null::public.{target}, {body}::json) as _new"
        return f"update public.{target} set {changes} from {source}{condition}"

    def delete(self, table: Table) -> str:
        """A deletion of the rows that the conditions name."""
        target = f"public.{quoted(table.name)}"
        condition = self.where(table, target)
        if not condition:
            raise ApiError(400, "21000", "DELETE requires a WHERE clause")
        return f"delete from {target}{condition}"

    def call(self, function: Function, given: dict[str, Any], *, is_posted: bool) -> str:
        """A function call as a select; scalars and jsonb come as a column named v."""
        source = ""
        name = f"public.{quoted(function.name)}"
        used = {argument: kind for argument, kind in function.arguments.items() if argument in given}
        if is_posted and used:
            definition = ", ".join(f"{quoted(argument)} {kind}" for argument, kind in used.items())
            source = f"json_to_record({self.parameter(json.dumps(given))}::json) as _given ({definition}), lateral "
            passed = ", ".join(f"{quoted(argument)} := _given.{quoted(argument)}" for argument in used)
        else:
            parts = [f"{quoted(a)} := {self.parameter(given[a])}::{kind}" for a, kind in used.items()]
            passed = ", ".join(parts)
        if function.is_composite:
            return f"select _call.* from {source}{name}({passed}) as _call"
        return f"select _call.v from {source}(select {name}({passed}) as v) as _call"

    def read_result(self, table: Table, *, max_rows: int | None = None) -> str:
        """What a write returned or a call gave, as the query selects it."""
        rows = self._query.of("")
        conditions = [self._condition(table, _RESULT, each) for each in rows.where]
        embeds = self._query.select
        return self._select(table, _RESULT, _RESULT, embeds, "", max_rows=max_rows, conditions=conditions)

    def _select(
        self,
        table: Table,
        source: str,
        reference: str,
        items: tuple[Column | Embed, ...],
        path: str,
        *,
        join: str = "",
        max_rows: int | None = None,
        conditions: list[str] | None = None,
    ) -> str:
        rows = self._query.of(path)
        self.used_paths.add(path)
        if conditions is None:
            conditions = [self._condition(table, reference, each) for each in rows.where]
        conditions = [*([join] if join else []), *conditions]
        columns = [
            self._embed(table, reference, item, path, conditions)
            if isinstance(item, Embed)
            else self._column(table, reference, item)
            for item in items
        ]
        listed = ", ".join(column for column in columns if column) or "1"
        order = self._order(table, reference, rows)
        return f"select {listed} from {source}{_where(conditions)}{order}{_page(rows, max_rows)}"

    def _column(self, table: Table, reference: str, column: Column) -> str:
        text = self._field(table, reference, column.field)
        name = column.alias or (column.field.path[-1][1] if column.field.path else None)
        if column.cast:
            if not _CAST.fullmatch(column.cast):
                raise ApiError(400, "PGRST100", f'"failed to parse cast ({column.cast})"')
            text, name = f"cast({text} as {column.cast})", name or column.field.name
        return f"{text} as {quoted(name)}" if name else text

    def _embed(self, table: Table, reference: str, embed: Embed, path: str, conditions: list[str]) -> str:
        """The embedded rows as a JSON column; an inner embed also narrows the parent's conditions."""
        child_path = f"{path}.{embed.name}".strip(".")
        if embed.alias and f"{path}.{embed.alias}".strip(".") in self._query.rows:
            child_path = f"{path}.{embed.alias}".strip(".")
        link = self._catalogue.link(table.name, embed.name, embed.hints)
        child = self._catalogue.table(link.table)
        self._aliases += 1
        alias = quoted(f"{child.name}_{self._aliases}")
        source = f"public.{quoted(child.name)} as {alias}"
        join = " and ".join(f"{alias}.{quoted(own)} = {reference}.{quoted(theirs)}" for theirs, own in link.pairs)
        inside = self._select(child, source, alias, embed.select, child_path, join=join)
        if embed.is_inner:
            narrowed = [join, *(self._condition(child, alias, each) for each in self._query.of(child_path).where)]
            conditions.append(f"exists (select 1 from {source}{_where(narrowed)})")
        if not embed.select:
            return ""
        if link.is_many:
            body = f"coalesce((select json_agg(_row) from ({inside}) as _row), '[]')"
        else:
            body = f"(select row_to_json(_row) from ({inside}) as _row)"
        return f"{body} as {quoted(embed.alias or embed.name)}"

    def _field(self, table: Table, reference: str, target: Field) -> str:
        if target.name == "*":
            return f"{reference}.*"
        text = f"{reference}.{quoted(target.name)}"
        if not target.path:
            return text
        if table.columns.get(target.name) not in {"json", "jsonb"}:
            text = f"to_jsonb({text})"
        steps = (f"{arrow}{self.parameter(key)}::{'int' if _is_index(key) else 'text'}" for arrow, key in target.path)
        return text + "".join(steps)

    def _condition(self, table: Table, reference: str, each: Condition | Group) -> str:
        negation = "not " if each.is_negated else ""
        if isinstance(each, Group):
            members = f" {each.joiner} ".join(self._condition(table, reference, member) for member in each.members)
            return f"{negation}({members})"
        text = self._field(table, reference, each.field)
        if each.operator == "is":
            return f"{negation}{text} is {str(each.value).replace('_', ' ')}"
        if each.operator == "in":
            return f"{negation}{text} = any ({self.parameter(_array(each.value))})"
        value = str(each.value)
        if each.operator in {"like", "ilike"}:
            value = value.replace("*", "%")
        compared = self.parameter(value)
        if each.quantifier in {"any", "all"}:
            compared = f"{each.quantifier} ({compared})"
        return f"{negation}{text} {OPERATORS[each.operator]} {compared}"

    def _order(self, table: Table, reference: str, rows: Rows) -> str:
        terms = [f"{self._field(table, reference, target)} {modifiers}" for target, modifiers in rows.order]
        return " order by " + ", ".join(terms) if terms else ""


def _where(conditions: list[str]) -> str:
    return " where " + " and ".join(conditions) if conditions else ""


def _page(rows: Rows, max_rows: int | None) -> str:
    limits = [limit for limit in (rows.limit, max_rows) if limit is not None]
    return (f" limit {min(limits)}" if limits else "") + (f" offset {rows.offset}" if rows.offset else "")


def _is_index(key: str) -> bool:
    return key.lstrip("-").isdigit()


def _array(values: str | tuple[str, ...]) -> str:
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"


def _check_columns(table: Table, names: Any) -> None:
    for name in names:
        if name not in table.columns:
            text = f"Could not find the '{name}' column of '{table.name}' in the schema cache"
            raise ApiError(400, "PGRST204", text)
