"""Builds SQL from a parsed query. Identifiers are quoted; every value is a parameter that PostgreSQL casts."""

from __future__ import annotations

import re
from typing import Any

from local.rest.errors import ApiError
from local.rest.query import Query, RowSelection
from local.rest.schema_cache import SchemaCache, Table
from local.rest.syntax import OPERATORS, QUERY_FUNCTIONS, Column, Condition, Embed, Field, Group

_CAST = re.compile(r"[A-Za-z_]\w*( [A-Za-z_]\w*)*(\(\d+(,\d+)?\))?(\[\])?")
_INDEX = re.compile(r"-?[0-9]{1,9}")
RESULT = "_result"


def quoted(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


class SqlBuilder:
    """Builds the SQL of one request; `arguments` are its parameters in order."""

    def __init__(self, schema: SchemaCache, query: Query) -> None:
        self.arguments: list[Any] = []
        self.used_paths = {""}
        self._schema, self._query = schema, query
        self._aliases = 0
        self.last_where = ""  # the where clause of the last select with its inner embeds; after `read` the root's

    def parameter(self, value: Any) -> str:
        """Adds a parameter; returns its placeholder."""
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def read(self, table: Table, source: str, reference: str, *, max_rows: int | None = None) -> str:
        """The select of the query's columns and rows."""
        return self._select(table, source, reference, self._query.select, "", max_rows=max_rows)

    def where(self, table: Table, reference: str) -> str:
        """The where clause of the root; empty without conditions."""
        return _where([self._condition(table, reference, each) for each in self._query.at_path("").where])

    def returning(self, table: Table) -> str:
        """The columns that a write must return for the select; `returning *` would need the right to read all."""
        reference = f"public.{quoted(table.name)}"
        names = [target.name for target, _ in self._query.at_path("").order]
        for item in self._query.select:
            if isinstance(item, Embed):
                relationship = self._schema.relationship(table.name, item.name, item.hints)
                names += [column for column, _ in relationship.pairs]
            else:
                names.append(item.field.name)
        if "*" in names:
            return f"{reference}.*"
        return ", ".join(f"{reference}.{quoted(name)}" for name in dict.fromkeys(names))

    def read_result(self, table: Table, *, max_rows: int | None = None) -> str:
        """The select of the query over the rows of a write or a call."""
        return self.read(table, RESULT, RESULT, max_rows=max_rows)

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
    ) -> str:
        rows = self._query.at_path(path)
        self.used_paths.add(path)
        conditions = [join] if join else []
        conditions += [self._condition(table, reference, each) for each in rows.where]
        columns = [
            self._embed(table, reference, item, path, conditions)
            if isinstance(item, Embed)
            else self._column(table, reference, item)
            for item in items
        ]
        self.last_where = _where(conditions)  # embeds set it first, the root last
        listed = ", ".join(column for column in columns if column) or "1"
        order = self._order(table, reference, rows)
        return f"select {listed} from {source}{_where(conditions)}{order}{_page(rows, max_rows)}"

    def _column(self, table: Table, reference: str, column: Column) -> str:
        text = self._field(table, reference, column.field)
        name = column.alias
        if column.field.path and not name:
            keys = [key for _, key in column.field.path if not _INDEX.fullmatch(key)]
            name = keys[-1] if keys else column.field.name
        if column.cast:
            if not _CAST.fullmatch(column.cast):
                raise ApiError(400, "PGRST100", f'"failed to parse cast ({column.cast})"')
            text, name = f"cast({text} as {column.cast})", name or column.field.name
        return f"{text} as {quoted(name)}" if name else text

    def _embed(self, table: Table, reference: str, embed: Embed, path: str, conditions: list[str]) -> str:
        """The embedded rows as a JSON column; an inner embed also adds a condition to the parent."""
        child_path = f"{path}.{embed.name}".strip(".")
        if embed.alias and f"{path}.{embed.alias}".strip(".") in self._query.rows:
            child_path = f"{path}.{embed.alias}".strip(".")
        relationship = self._schema.relationship(table.name, embed.name, embed.hints)
        child = self._schema.table(relationship.table)
        if not embed.select and not embed.is_inner:
            self.used_paths.add(child_path)
            return ""
        self._aliases += 1
        alias = quoted(f"{child.name}_{self._aliases}")
        source = f"public.{quoted(child.name)} as {alias}"
        join = " and ".join(
            f"{alias}.{quoted(own)} = {reference}.{quoted(theirs)}" for theirs, own in relationship.pairs
        )
        inside = self._select(child, source, alias, embed.select, child_path, join=join)
        if embed.is_inner:
            conditions.append(f"exists (select 1 from {source}{self.last_where})")
        if not embed.select:
            return ""
        if relationship.is_many:
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
        for arrow, key in target.path:
            text += f"{arrow}{self.parameter(key)}::{'int' if _INDEX.fullmatch(key) else 'text'}"
        return text

    def _condition(self, table: Table, reference: str, each: Condition | Group) -> str:
        negation = "not " if each.is_negated else ""
        if isinstance(each, Group):
            members = f" {each.joiner} ".join(self._condition(table, reference, member) for member in each.members)
            return f"{negation}({members})"
        text = self._field(table, reference, each.field)
        if each.operator in QUERY_FUNCTIONS:
            return negation + self._search(table, text, each)
        if each.operator == "is":
            return f"{negation}{text} is {str(each.value).replace('_', ' ')}"
        if each.operator == "in":
            return f"{negation}{text} = any ({self.parameter(_array(each.value))})"
        value = str(each.value)
        if each.operator in {"like", "ilike"}:
            value = value.replace("*", "%")
        compared = self.parameter(value)
        if each.option:
            compared = f"{each.option} ({compared})"
        return f"{negation}{text} {OPERATORS[each.operator]} {compared}"

    def _search(self, table: Table, text: str, each: Condition) -> str:
        language = f"{self.parameter(each.option)}::regconfig, " if each.option else ""
        if each.field.path or table.columns.get(each.field.name) != "tsvector":
            text = f"to_tsvector({language}{text}::text)"
        return f"{text} @@ {QUERY_FUNCTIONS[each.operator]}({language}{self.parameter(each.value)})"

    def _order(self, table: Table, reference: str, rows: RowSelection) -> str:
        terms = [f"{self._field(table, reference, target)} {modifiers}" for target, modifiers in rows.order]
        return " order by " + ", ".join(terms) if terms else ""


def _where(conditions: list[str]) -> str:
    return " where " + " and ".join(conditions) if conditions else ""


def _page(rows: RowSelection, max_rows: int | None) -> str:
    limits = [limit for limit in (rows.limit, max_rows) if limit is not None]
    return (f" limit {min(limits)}" if limits else "") + (f" offset {rows.offset}" if rows.offset else "")


def _array(values: str | tuple[str, ...]) -> str:
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"
