"""Parses the query string of a request: columns, filters, order and limits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl

from local.rest.errors import ApiError
from local.rest.scanner import Scanner
from local.rest.syntax import OPERATORS, QUERY_FUNCTIONS, Column, Condition, Embed, Field, Group

_FILTER = re.compile(rf"(not\.)?({'|'.join([*OPERATORS, *QUERY_FUNCTIONS])}|in|is)(\(\w+\))?\.")
_ORDERS = {"asc": "asc", "desc": "desc", "nullsfirst": "nulls first", "nullslast": "nulls last"}
_NEGATED_GROUP = re.compile(r"(^|\.)not\.(and|or)$")
_NUMBER = re.compile(r"[0-9]{1,15}")
_NEGATIVE = re.compile(r"-[0-9]{1,15}")
_RELATED_ORDER = re.compile(r"([^(),]+)\(([^()]+)\)(.*)")
_RESERVED = {"select", "on_conflict", "columns", "apikey"}


@dataclass
class RowSelection:
    """Filter, order and limits of one table, the root or an embedded one."""

    where: list[Condition | Group] = field(default_factory=list)
    order: list[tuple[Field, str]] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0

    @property
    def names(self) -> set[str]:
        """The columns of the filters, and the embedded tables of the order."""
        return {name for each in self.where for name in _names(each)} | {str(target.embed) for target, _ in self.order}


@dataclass
class Query:
    """A parsed query string. `rows` has embed paths as keys, "" for the root; `arguments` are those of a GET call.

    `repeated` has all values of each argument, for a function that takes any number of them.
    """

    select: tuple[Column | Embed, ...] = (Column(Field("*")),)
    rows: dict[str, RowSelection] = field(default_factory=dict)
    on_conflict: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    arguments: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, list[str]] = field(default_factory=dict)

    def at_path(self, path: str) -> RowSelection:
        """The rows of the table at an embed path."""
        return self.rows.setdefault(path, RowSelection())


def parse_query(text: str, *, is_call: bool = False) -> Query:
    """The query. Raises ApiError 400 for invalid syntax. In a call, values that are no filters are arguments."""
    query = Query()
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise ApiError(400, "PGRST100", '"failed to parse query (too many parameters)"') from None
    for name, value in pairs:
        if name == "select":
            query.select = Scanner(value).whole(Scanner.select) if value else query.select
        elif name in {"on_conflict", "columns"}:
            setattr(query, name, tuple(part.strip(' "') for part in value.split(",")))
        elif name not in _RESERVED:
            _add(query, name, value, is_call)
    return query


def _add(query: Query, name: str, value: str, is_call: bool) -> None:
    bare = _NEGATED_GROUP.sub(r"\1\2", name)
    path, _, last = bare.split("->", 1)[0].rpartition(".")
    rows = query.at_path(path)
    if last == "limit":
        rows.limit = _number(value)
    elif last == "offset":
        rows.offset = _number(value)
    elif last == "order":
        rows.order += [_order(part) for part in value.split(",")]
    elif last in {"and", "or"}:
        rows.where.append(Scanner(value).whole(lambda scanner: scanner.group(last, is_negated=bare != name)))
    elif is_call and not _FILTER.match(value):
        query.arguments[name] = value
        query.repeated.setdefault(name, []).append(value)
    else:
        target = Scanner(name[len(path) + 1 if path else 0 :]).whole(lambda scanner: scanner.field(""))
        rows.where.append(Scanner(value).whole(lambda scanner: scanner.condition(target, is_nested=False)))


def _names(each: Condition | Group) -> set[str]:
    if isinstance(each, Condition):
        return {each.field.name}
    return {name for member in each.members for name in _names(member)}


def _number(text: str) -> int:
    if _NEGATIVE.fullmatch(text):
        details = "Limit should be greater than or equal to zero."
        raise ApiError(416, "PGRST103", "Requested range not satisfiable", details)
    if not _NUMBER.fullmatch(text):
        raise ApiError(400, "PGRST100", f'"failed to parse limit or offset ({text})"')
    return int(text)


def _order(text: str) -> tuple[Field, str]:
    related = _RELATED_ORDER.fullmatch(text)
    if related and (related[3] == "" or related[3][0] == "."):
        inner, words = _order(related[2].strip() + related[3])
        return replace(inner, embed=related[1].strip()), words
    target, *modifiers = text.strip().split(".")
    if any(modifier not in _ORDERS for modifier in modifiers):
        expected = "expecting asc, desc, nullsfirst or nullslast"
        raise ApiError(400, "PGRST100", f'"failed to parse order ({text})"', expected)
    words = " ".join(_ORDERS[modifier] for modifier in modifiers)
    return Scanner(target).whole(lambda scanner: scanner.field("")), words
