"""SQL of columns and filters. Identifiers are quoted; every value is a parameter that PostgreSQL casts."""

from __future__ import annotations

import re
from typing import Any

from local.rest.errors import ApiError
from local.rest.schema_cache import Table
from local.rest.syntax import OPERATORS, QUERY_FUNCTIONS, Column, Condition, Field, Group

_CAST = re.compile(r"[A-Za-z_]\w*( [A-Za-z_]\w*)*(\(\d+(,\d+)?\))?(\[\])?")
_INDEX = re.compile(r"-?[0-9]{1,9}")


def quoted(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


class Expressions:
    """Builds expressions; `arguments` are the parameters of the request in order."""

    def __init__(self) -> None:
        self.arguments: list[Any] = []

    def parameter(self, value: Any) -> str:
        """Adds a parameter; returns its placeholder."""
        self.arguments.append(value)
        return f"${len(self.arguments)}"

    def column(self, table: Table, reference: str, column: Column) -> str:
        """A selected column with its name."""
        text = self.field(table, reference, column.field)
        name = column.alias
        if column.field.path and not name:
            keys = [key for _, key in column.field.path if not _INDEX.fullmatch(key)]
            name = keys[-1] if keys else column.field.name
        if column.cast:
            if not _CAST.fullmatch(column.cast):
                raise ApiError(400, "PGRST100", f'"failed to parse cast ({column.cast})"')
            text, name = f"cast({text} as {column.cast})", name or column.field.name
        return f"{text} as {quoted(name)}" if name else text

    def field(self, table: Table, reference: str, target: Field) -> str:
        """A column or a value inside its JSON."""
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

    def condition(self, table: Table, reference: str, each: Condition | Group, embeds: dict[str, str]) -> str:
        """A filter. `embeds` has the test for rows of each embed, for filters by `authors=is.null`."""
        negation = "not " if each.is_negated else ""
        if isinstance(each, Group):
            members = (self.condition(table, reference, member, embeds) for member in each.members)
            return f"{negation}({f' {each.joiner} '.join(members)})"
        if each.field.name in embeds and each.field.name not in table.columns:
            return _embed_condition(each, embeds[each.field.name])
        text = self.field(table, reference, each.field)
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


def _embed_condition(each: Condition, exists: str) -> str:
    if each.operator != "is" or each.value not in {"null", "not_null"} or each.field.path:
        text = f"Bad operator on the '{each.field.name}' embedded resource"
        details = "Only is null or not is null filters are allowed on embedded resources"
        raise ApiError(400, "PGRST120", text, details)
    return exists if (each.value == "null") == each.is_negated else f"not {exists}"


def _array(values: str | tuple[str, ...]) -> str:
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"
