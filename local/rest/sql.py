"""Builds the SQL of the selected rows with their embedded tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from local.rest.errors import ApiError
from local.rest.expressions import Expressions, quoted
from local.rest.query import Query, RowSelection
from local.rest.relationships import Relationship
from local.rest.schema_cache import SCHEMA, SchemaCache, Table
from local.rest.syntax import Column, Embed, Field

RESULT = "_result"


@dataclass
class _Parts:
    """The parts of a select that its embeds add to. `embeds` has the rows of each embed for filters and orders."""

    conditions: list[str]
    joins: list[str] = field(default_factory=list)
    exists: dict[str, str] = field(default_factory=dict)
    embeds: dict[str, tuple[Table, str, str, bool]] = field(default_factory=dict)


class SqlBuilder(Expressions):
    """Builds the SQL of one request."""

    def __init__(self, schema: SchemaCache, query: Query) -> None:
        super().__init__()
        self.used_paths = {""}
        self._schema, self._query = schema, query
        self._aliases = 0
        self.last_where = ""  # the where clause of the last select with its inner embeds; after `read` the root's

    def read(self, table: Table, source: str, reference: str, *, max_rows: int | None = None) -> str:
        """The select of the query's columns and rows."""
        return self._select(table, source, reference, self._query.select, "", max_rows=max_rows)

    def where(self, table: Table, reference: str) -> str:
        """The where clause of the root; empty without conditions."""
        return _where([self.condition(table, reference, each, {}) for each in self._query.at_path("").where])

    def returning(self, table: Table) -> str:
        """The columns that a write must return for the select; `returning *` would need the right to read all."""
        reference = f"{SCHEMA}.{quoted(table.name)}"
        names = [target.name for target, _ in self._query.at_path("").order if not target.embed]
        for item in self._query.select:
            if isinstance(item, Embed):
                relationship = self._schema.relationship(table.name, item.name, item.hints)
                names += [column for column, _ in relationship.pairs] or ["*"]
            else:
                names.append(item.field.name)
        if "*" in names:
            others = [name for name in dict.fromkeys(names) if name != "*" and name not in table.columns]
            return ", ".join([f"{reference}.*", *(f"{reference}.{quoted(name)}" for name in others)])
        return ", ".join(f"{reference}.{quoted(name)}" for name in dict.fromkeys(names))

    def read_result(self, table: Table, *, max_rows: int | None = None) -> str:
        """The select of the query over the rows of a write or a call."""
        return self.read(table, RESULT, RESULT, max_rows=max_rows)

    def read_scalars(self, *, max_rows: int | None = None) -> str:
        """The select of a function's scalar results."""
        return f"select v from {RESULT}{_page(self._query.at_path(''), max_rows)}"

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
        parts = _Parts([join] if join else [])
        columns = [
            self._embed(table, reference, item, path, parts)
            if isinstance(item, Embed)
            else self.column(table, reference, item)
            for item in items
        ]
        parts.conditions += [self.condition(table, reference, each, parts.exists) for each in rows.where]
        self.last_where = where = _where(parts.conditions)  # embeds set it first, the root last
        listed = ", ".join(column for column in columns if column) or "1"
        order = self._order(table, reference, rows, parts)
        return f"select {listed} from {source}{''.join(parts.joins)}{where}{order}{_page(rows, max_rows)}"

    def _embed(self, table: Table, reference: str, embed: Embed, path: str, parts: _Parts) -> str:
        """The embedded rows as a JSON column; a spread embed gives columns. An inner embed also filters the parent."""
        child_path = self._path_of(embed, path)
        relationship = self._schema.relationship(table.name, embed.name, embed.hints)
        if embed.is_spread and relationship.is_many:  # its columns would be lists, which are aggregates
            raise ApiError(400, "PGRST123", "Use of aggregate functions is not allowed")
        child, name = self._schema.table(relationship.table), embed.alias or embed.name
        rows = self._query.at_path(path)
        if not embed.select and not embed.is_inner and not rows.names & {name, embed.name, relationship.table}:
            self.used_paths.add(child_path)
            return ""
        self._aliases += 1
        alias = quoted(f"{child.name}_{self._aliases}")
        source, join = _source(relationship, table, reference, alias)
        inside = self._select(child, source, alias, embed.select, child_path, join=join)
        where = self.last_where
        parts.exists[name] = parts.exists[relationship.table] = exists = f"exists (select 1 from {source}{where})"
        for key in (embed.name, name, relationship.table):
            parts.embeds.setdefault(key, (child, alias, f"{source}{where}", relationship.is_many))
        if embed.is_inner:
            parts.conditions.append(exists)
        if not embed.select:
            return ""
        if embed.is_spread:
            spread = quoted(f"{child.name}_{self._aliases}_spread")
            parts.joins.append(f" left join lateral ({inside}) as {spread} on true")
            return f"{spread}.*"
        if relationship.is_many:
            body = f"coalesce((select json_agg(_row) from ({inside}) as _row), '[]')"
        else:
            body = f"(select row_to_json(_row) from ({inside}) as _row)"
        return f"{body} as {quoted(name)}"

    def _path_of(self, embed: Embed, path: str) -> str:
        """The path of the embed's filters: by its other name where the query uses that, else by the table's name."""
        named, aliased = (f"{path}.{name}".strip(".") for name in (embed.name, embed.alias))
        is_used = any(used == aliased or used.startswith(f"{aliased}.") for used in self._query.rows)
        return aliased if embed.alias and is_used else named

    def _order(self, table: Table, reference: str, rows: RowSelection, parts: _Parts) -> str:
        terms = [
            f"{self._related(table, target, parts) if target.embed else self.field(table, reference, target)} {words}"
            for target, words in rows.order
        ]
        return " order by " + ", ".join(terms) if terms else ""

    def _related(self, table: Table, target: Field, parts: _Parts) -> str:
        """The value of an embedded row, to order by it."""
        name = str(target.embed)
        if name not in parts.embeds:
            hint = f"Verify that '{name}' is included in the 'select' query parameter."
            raise ApiError(400, "PGRST108", f"'{name}' is not an embedded resource in this request", hint=hint)
        child, alias, rows, is_many = parts.embeds[name]
        if is_many:
            details = f"'{table.name}' and '{name}' do not form a many-to-one or one-to-one relationship"
            raise ApiError(400, "PGRST118", f"A related order on '{name}' is not possible", details)
        return f"(select {self.field(child, alias, target)} from {rows} limit 1)"


def _source(relationship: Relationship, parent: Table, reference: str, alias: str) -> tuple[str, str]:
    """The from item of an embedded table, and the condition that joins it to the parent; empty for a function."""
    if relationship.function:
        row = f"{reference}.*"
        if reference == RESULT:  # the rows of a write have no type
            fields = ", ".join(f"{reference}.{quoted(name)}" for name in parent.columns)
            row = f"row({fields})::{SCHEMA}.{quoted(parent.name)}"
        return f"{SCHEMA}.{quoted(relationship.function)}({row}) as {alias}", ""
    source = f"{SCHEMA}.{quoted(relationship.table)} as {alias}"
    junction = relationship.junction
    near = "_junction" if junction else alias
    join = " and ".join(f"{near}.{quoted(theirs)} = {reference}.{quoted(ours)}" for ours, theirs in relationship.pairs)
    if junction:
        far = " and ".join(f"_junction.{quoted(own)} = {alias}.{quoted(theirs)}" for own, theirs in junction.pairs)
        join = f"exists (select 1 from {SCHEMA}.{quoted(junction.table)} as _junction where {join} and {far})"
    return source, join


def _where(conditions: list[str]) -> str:
    return " where " + " and ".join(conditions) if conditions else ""


def _page(rows: RowSelection, max_rows: int | None) -> str:
    limits = [limit for limit in (rows.limit, max_rows) if limit is not None]
    return (f" limit {min(limits)}" if limits else "") + (f" offset {rows.offset}" if rows.offset else "")
