"""The schema cache: tables, foreign keys, functions and role settings of the exposed schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from local.rest.errors import ApiError

SCHEMA = "public"

_TABLES = """
    select c.relname,
      (select json_object_agg(a.attname, format_type(a.atttypid, -1)) from pg_attribute as a
       where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
      coalesce((select json_agg(a.attname) from pg_index as i
                join pg_attribute as a on a.attrelid = c.oid and a.attnum = any (i.indkey)
                where i.indrelid = c.oid and i.indisprimary), '[]')
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname = $1
"""
_FOREIGN_KEYS = """
    select k.conname, source.relname, target.relname,
      (select json_agg(json_build_array(a.attname, b.attname)) from unnest(k.conkey, k.confkey) as u (x, y)
       join pg_attribute as a on a.attrelid = source.oid and a.attnum = x
       join pg_attribute as b on b.attrelid = target.oid and b.attnum = y),
      exists (select 1 from pg_index as i where i.indrelid = source.oid and i.indisunique and i.indpred is null
              and string_to_array(i.indkey::text, ' ')::int2[] = k.conkey)
    from pg_constraint as k
    join pg_class as source on source.oid = k.conrelid join pg_class as target on target.oid = k.confrelid
    where k.contype = 'f' and source.relnamespace = $1::regnamespace and target.relnamespace = $1::regnamespace
"""
_FUNCTIONS = """
    select p.proname,
      (select coalesce(json_agg(json_build_array(coalesce(a.name, ''), format_type(a.type, -1)) order by a.i)
                       filter (where coalesce(a.mode, 'i') in ('i', 'b', 'v')), '[]')
       from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes, p.proargnames) with ordinality
         as a (type, mode, name, i)),
      p.pronargdefaults,
      (select coalesce(json_agg(s), '[]') from unnest(p.proconfig) as s where s like 'statement_timeout=%'),
      p.provolatile <> 'v', p.proretset, p.prorettype = 'void'::regtype,
      t.typtype = 'c' or coalesce(p.proargmodes && '{t,b,o}', false),
      (select c.relname from pg_class as c where c.oid = t.typrelid and c.relnamespace = p.pronamespace)
    from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace join pg_type as t on t.oid = p.prorettype
    where p.prokind = 'f' and p.prorettype <> 'trigger'::regtype and n.nspname = $1
"""
_ROLE_SETTINGS = """
    select rolname, coalesce(
      (select json_agg(s) from unnest(rolconfig) as s where s ~ '^(statement|lock)_timeout='), '[]')
    from pg_roles
"""


@dataclass(frozen=True)
class Table:
    """A table or view. `columns` has the type of each column by name."""

    name: str
    columns: dict[str, str]
    primary_key: tuple[str, ...]


@dataclass(frozen=True)
class Function:
    """A function. `arguments` has the type of each argument by name; the first `required` have no default.

    An argument without a name has the key "" and cannot be passed. `table` is the table whose rows the function
    returns; None for other results.
    """

    name: str
    arguments: dict[str, str]
    required: int
    settings: tuple[tuple[str, str], ...]
    is_read_only: bool
    is_set: bool
    is_void: bool
    is_composite: bool
    table: str | None

    def takes(self, given: set[str]) -> bool:
        """Whether a call with exactly these argument names is valid."""
        names = list(self.arguments)
        return given <= set(names) and set(names[: self.required]) <= given


@dataclass(frozen=True)
class Relationship:
    """The join of an embedded table to its parent: pairs of (column of the parent, own column)."""

    table: str
    is_many: bool
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SchemaCache:
    """A snapshot of the schema."""

    tables: dict[str, Table]
    foreign_keys: tuple[tuple[str, str, str, tuple[tuple[str, str], ...], bool], ...]
    functions: dict[str, list[Function]]
    role_settings: dict[str, list[tuple[str, str]]]

    def table(self, name: str) -> Table:
        """The table. Raises ApiError 404 when it does not exist."""
        if name not in self.tables:
            raise ApiError(404, "PGRST205", f"Could not find the table '{SCHEMA}.{name}' in the schema cache")
        return self.tables[name]

    def function(self, name: str, given: set[str]) -> Function:
        """The function with these arguments. Raises ApiError 404 for none and 300 for several."""
        found = [function for function in self.functions.get(name, []) if function.takes(given)]
        if not found:
            named = f"({', '.join(sorted(given))})" if given else " without parameters"
            text = f"Could not find the function {SCHEMA}.{name}{named} in the schema cache"
            raise ApiError(404, "PGRST202", text, "There is no function with exactly these parameters.")
        if len(found) > 1:
            raise ApiError(300, "PGRST203", f"Could not choose the best candidate function between: {name}")
        return found[0]

    def relationship(self, parent: str, name: str, hints: tuple[str, ...]) -> Relationship:
        """The relationship of an embed. Raises ApiError for none or several."""
        found = []
        for constraint, source, target, pairs, is_unique in self.foreign_keys:
            own = [column for column, _ in pairs]
            if any(hint != constraint and hint not in own for hint in hints):
                continue
            if source == parent and name in {target, constraint, *(own if len(own) == 1 else ())}:
                found.append(Relationship(target, is_many=False, pairs=pairs))
            if target == parent and name in {source, constraint}:
                found.append(Relationship(source, not is_unique, tuple((theirs, ours) for ours, theirs in pairs)))
        if not found:
            text = f"Could not find a relationship between '{parent}' and '{name}' in the schema cache"
            details = f"Searched for a foreign key between them in the schema '{SCHEMA}', but found none."
            raise ApiError(400, "PGRST200", text, details)
        if len(found) > 1:
            text = f"Could not embed because more than one relationship was found for '{parent}' and '{name}'"
            raise ApiError(300, "PGRST201", text, hint=f"Choose one: {name}!<the foreign key's name or column>")
        return found[0]


async def read_schema(connection: psycopg.AsyncConnection[Any]) -> SchemaCache:
    """Reads the schema from PostgreSQL."""

    async def rows(statement: str, *arguments: str) -> list[Any]:
        return await (await connection.execute(statement.encode(), arguments or None)).fetchall()

    functions: dict[str, list[Function]] = {}
    for name, arguments, defaults, settings, *shape in await rows(_FUNCTIONS, SCHEMA):
        required = len(arguments) - defaults
        function = Function(name, dict(arguments), required, tuple(map(_setting, settings)), *shape)
        functions.setdefault(name, []).append(function)
    return SchemaCache(
        tables={name: Table(name, columns or {}, tuple(key)) for name, columns, key in await rows(_TABLES, SCHEMA)},
        foreign_keys=tuple(
            (name, source, target, tuple((a, b) for a, b in pairs), is_unique)
            for name, source, target, pairs, is_unique in await rows(_FOREIGN_KEYS, SCHEMA)
        ),
        functions=functions,
        role_settings={
            role: [_setting(setting) for setting in settings] for role, settings in await rows(_ROLE_SETTINGS)
        },
    )


def _setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value
