"""The schema cache: tables, relationships, functions and role settings of the exposed schema."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import psycopg

from local.rest import schema_queries
from local.rest.errors import ApiError
from local.rest.relationships import ForeignKey, Relationship, relationships, with_views

SCHEMA = "public"
_SIMILARITY = 0.75
_UNNAMED_TYPES = {
    "application/json": {"json", "jsonb"},
    "text/plain": {"text"},
    "text/xml": {"xml"},
    "application/octet-stream": {"bytea"},
}
_INSERT, _UPDATE, _DELETE = 8, 4, 16  # pg_relation_is_updatable


@dataclass(frozen=True)
class Table:
    """A table or view. `columns` has the type of each column by name; `changes` are its possible changes as bits."""

    name: str
    columns: dict[str, str]
    primary_key: tuple[str, ...]
    is_view: bool = False
    changes: int = 0

    def methods(self) -> str:
        """The methods for the Allow header."""
        can_put = self.changes & _INSERT and self.changes & _UPDATE and self.primary_key
        given = [(_INSERT, "POST"), (_INSERT if can_put else 0, "PUT"), (_UPDATE, "PATCH"), (_DELETE, "DELETE")]
        return ",".join(["OPTIONS,GET,HEAD", *(name for bit, name in given if self.changes & bit)])


@dataclass(frozen=True)
class Function:
    """A function. `parameters` are (name, type); the first `required` have no default.

    `table` is the table whose rows it returns, `computed_for` the table whose row is its only argument; None without.
    """

    name: str
    parameters: tuple[tuple[str, str], ...]
    required: int
    settings: tuple[tuple[str, str], ...]
    is_variadic: bool
    is_read_only: bool
    is_set: bool
    is_void: bool
    is_composite: bool
    table: str | None
    computed_for: str | None
    returns_one: bool

    @property
    def arguments(self) -> dict[str, str]:
        """The type of each argument by name."""
        return dict(self.parameters)

    def takes(self, given: set[str]) -> bool:
        """Whether a call with exactly these argument names is valid."""
        names = [name for name, _ in self.parameters]
        return given <= set(names) and set(names[: self.required]) <= given

    def takes_body(self, content_type: str) -> bool:
        """Whether the only parameter has no name and takes the whole body."""
        types = _UNNAMED_TYPES.get(content_type, set())
        return len(self.parameters) == 1 and not self.parameters[0][0] and self.parameters[0][1] in types

    def signature(self) -> str:
        """The function with its parameters, for errors."""
        return f"{SCHEMA}.{self.name}({', '.join(f'{name} => {kind}' for name, kind in self.parameters)})"


@dataclass(frozen=True)
class SchemaCache:
    """A snapshot of the schema."""

    tables: dict[str, Table]
    foreign_keys: tuple[ForeignKey, ...]
    functions: dict[str, list[Function]]
    role_settings: dict[str, list[tuple[str, str]]]

    @property
    def has_plans(self) -> bool:
        """Whether clients may read execution plans: `alter role authenticator set pgrst.db_plan_enabled = true`."""
        return self._option("db_plan_enabled") in {"true", "on", "1"}

    @property
    def pre_request(self) -> str | None:
        """The function that is called before each request, set like `db_plan_enabled`; None without one."""
        return self._option("db_pre_request")

    def _option(self, name: str) -> str | None:
        return dict(self.role_settings.get("authenticator", [])).get(f"pgrst.{name}")

    def table(self, name: str) -> Table:
        """The table. Raises ApiError 404 when it does not exist."""
        if name not in self.tables:
            similar = get_close_matches(name, self.tables, 1, _SIMILARITY)
            hint = f"Perhaps you meant the table '{SCHEMA}.{similar[0]}'" if similar else None
            text = f"Could not find the table '{SCHEMA}.{name}' in the schema cache"
            raise ApiError(404, "PGRST205", text, hint=hint)
        return self.tables[name]

    def function(self, name: str, given: set[str], content_type: str = "") -> Function:
        """The function with these arguments. Raises ApiError 404 for none and 300 for several.

        With the content type of a body, a function takes it whole when no other has these arguments.
        """
        candidates = self.functions.get(name, [])
        whole = [each for each in candidates if each.takes_body(content_type)]
        is_object = content_type in {"", "application/json", "application/x-www-form-urlencoded"}
        named = [each for each in candidates if is_object and each not in whole and each.takes(given)]
        found = named or whole
        if not found:
            raise self._no_function(name, given, content_type, candidates)
        if len(found) > 1:
            text = f"Could not choose the best candidate function between: {', '.join(f.signature() for f in found)}"
            hint = "Try renaming the parameters or the function itself in the database so function overloading can be"
            raise ApiError(300, "PGRST203", text, hint=f"{hint} resolved")
        return found[0]

    def _no_function(self, name: str, given: set[str], content_type: str, candidates: list[Function]) -> ApiError:
        names = ", ".join(sorted(given))
        message = f"({names})" if given else " without parameters"
        searched = f" with parameter{'s' if len(given) > 1 else ''} {names}" if given else " without parameters"
        if content_type == "application/json":
            searched += " or with a single unnamed json/jsonb parameter"
        elif content_type in _UNNAMED_TYPES:
            message, kinds = "", _UNNAMED_TYPES[content_type]
            searched = f" with a single unnamed {min(kinds)} parameter"
        similar = get_close_matches(name, self.functions, 1, _SIMILARITY)
        if candidates:
            similar = [f"{name}({', '.join(sorted(key for key, _ in candidates[0].parameters))})"]
        return ApiError(
            404,
            "PGRST202",
            f"Could not find the function {SCHEMA}.{name}{message} in the schema cache",
            f"Searched for the function {SCHEMA}.{name}{searched}, but no matches were found in the schema cache.",
            f"Perhaps you meant to call the function {SCHEMA}.{similar[0]}" if similar else None,
        )

    def relationship(self, parent: str, name: str, hints: tuple[str, ...]) -> Relationship:
        """The relationship of an embed. Raises ApiError for none or several."""
        computed = [each for each in self.functions.get(name, []) if each.computed_for == parent and each.table]
        if computed:
            function = computed[0]
            return Relationship(str(function.table), function.is_set and not function.returns_one, (), function=name)
        keys = {each.name: each.primary_key for each in self.tables.values()}
        hint = hints[0] if hints else None
        found = relationships(self.foreign_keys, keys, parent, name, hint)
        if not found:
            raise self._no_relationship(parent, name, hint)
        if len(found) > 1:
            text = f"Could not embed because more than one relationship was found for '{parent}' and '{name}'"
            choices = ", ".join(f"'{each.hint()}'" for each in found)
            hint = f"Try changing '{name}' to one of the following: {choices}. Find the desired relationship in the"
            raise ApiError(300, "PGRST201", text, [each.details(parent) for each in found], f"{hint} 'details' key.")
        return found[0]

    def _no_relationship(self, parent: str, name: str, hint: str | None) -> ApiError:
        others = {key.target for key in self.foreign_keys if key.source == parent}
        others |= {key.source for key in self.foreign_keys if key.target == parent}
        similar = [] if name in others else get_close_matches(name, others, 1, _SIMILARITY)
        used = f" using the hint '{hint}'" if hint else ""
        return ApiError(
            400,
            "PGRST200",
            f"Could not find a relationship between '{parent}' and '{name}' in the schema cache",
            f"Searched for a foreign key relationship between '{parent}' and '{name}'{used} in the schema '{SCHEMA}',"
            " but no matches were found.",
            f"Perhaps you meant '{similar[0]}' instead of '{name}'." if similar else None,
        )


async def read_schema(connection: psycopg.AsyncConnection[Any]) -> SchemaCache:
    """Reads the schema from PostgreSQL."""

    async def rows(statement: str, *arguments: str) -> list[Any]:
        return await (await connection.execute(statement.encode(), arguments or None)).fetchall()

    functions: dict[str, list[Function]] = {}
    for name, parameters, defaults, settings, *shape in await rows(schema_queries.FUNCTIONS, SCHEMA):
        required = len(parameters) - defaults - shape[0]
        pairs = tuple((key, kind) for key, kind in parameters)
        functions.setdefault(name, []).append(Function(name, pairs, required, tuple(map(_setting, settings)), *shape))
    views: dict[str, dict[str, set[str]]] = {}
    for view, table, columns in await rows(schema_queries.VIEW_COLUMNS, SCHEMA):
        views.setdefault(view, {})[table] = set(columns)
    keys = [
        ForeignKey(name, source, target, tuple((a, b) for a, b in pairs), is_unique)
        for name, source, target, pairs, is_unique in await rows(schema_queries.FOREIGN_KEYS, SCHEMA)
    ]
    tables = {
        name: Table(name, columns or {}, tuple(key), is_view, changes)
        for name, columns, key, is_view, changes in await rows(schema_queries.TABLES, SCHEMA)
    }
    return SchemaCache(
        tables=tables,
        foreign_keys=with_views(keys, views),
        functions=functions,
        role_settings={
            role: [_setting(setting) for setting in settings]
            for role, settings in await rows(schema_queries.ROLE_SETTINGS)
        },
    )


def _setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value
