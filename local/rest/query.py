"""The query string of a request, parsed: what to select, which rows, in which order."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl

from local.rest.errors import ApiError

Result = TypeVar("Result")

OPERATORS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "like",
    "ilike": "ilike",
    "match": "~",
    "imatch": "~*",
    "cs": "@>",
    "cd": "<@",
    "ov": "&&",
    "isdistinct": "is distinct from",
}
IS_VALUES = {"null", "not_null", "true", "false", "unknown"}
_RESERVED = {"select", "order", "limit", "offset", "on_conflict", "columns", "apikey", "and", "or", "not.and", "not.or"}
_FILTER = re.compile(rf"(not\.)?({'|'.join(OPERATORS)}|in|is)(\(\w+\))?\.")


@dataclass(frozen=True)
class Field:
    """A column, perhaps with a JSON path: `meta->a->>b` has the path (("->", "a"), ("->>", "b"))."""

    name: str
    path: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Column:
    """A selected column; name `*` is all of them."""

    field: Field
    alias: str | None = None
    cast: str | None = None


@dataclass(frozen=True)
class Embed:
    """A related table inside the row."""

    name: str
    alias: str | None
    hints: tuple[str, ...]
    is_inner: bool
    select: tuple[Column | Embed, ...]


@dataclass(frozen=True)
class Condition:
    """One comparison."""

    field: Field
    operator: str
    value: str | tuple[str, ...]
    is_negated: bool = False
    quantifier: str | None = None


@dataclass(frozen=True)
class Group:
    """Conditions joined by `and` or `or`."""

    joiner: str
    members: tuple[Condition | Group, ...]
    is_negated: bool = False


@dataclass
class Rows:
    """Which rows of one table, the root's or an embedded one's."""

    where: list[Condition | Group] = field(default_factory=list)
    order: list[tuple[Field, str]] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0


@dataclass
class Query:
    """A parsed query string; `rows` by path, the root's under the empty one; `arguments` are a GET function call's."""

    select: tuple[Column | Embed, ...] = (Column(Field("*")),)
    rows: dict[str, Rows] = field(default_factory=dict)
    on_conflict: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    arguments: dict[str, str] = field(default_factory=dict)

    def of(self, path: str) -> Rows:
        """The rows asked for at a path."""
        return self.rows.setdefault(path, Rows())


def parse_query(text: str, *, is_call: bool = False) -> Query:
    """Raises ApiError 400 for what cannot be read. In a function call, names that are no filters are arguments."""
    query = Query()
    for name, value in parse_qsl(text, keep_blank_values=True):
        path, _, last = name.split("->", 1)[0].removeprefix("not.").rpartition(".")
        if name == "select":
            query.select = Scanner(value).whole(Scanner.select) if value else query.select
        elif name in {"on_conflict", "columns"}:
            setattr(query, name, tuple(part.strip(' "') for part in value.split(",")))
        elif is_call and name not in _RESERVED and not _FILTER.match(value):
            query.arguments[name] = value
        elif last in {"limit", "offset"}:
            setattr(query.of(path), last, _number(value))
        elif last == "order":
            query.of(path).order += [_order(part) for part in value.split(",")]
        elif last in {"and", "or"}:
            query.of(path).where.append(_group(value, last, is_negated=name.startswith("not.")))
        elif name != "apikey":
            query.of(path).where.append(_condition(name[len(path) + 1 if path else 0 :], value))
    return query


def _group(text: str, joiner: str, *, is_negated: bool) -> Group:
    return Scanner(text).whole(lambda scanner: scanner.group(joiner, is_negated))


def _condition(name: str, text: str) -> Condition:
    target = Scanner(name).whole(lambda scanner: scanner.field(""))
    return Scanner(text).whole(lambda scanner: scanner.condition(target, is_nested=False))


def _number(text: str) -> int:
    if not text.isdigit() or len(text) > 15:
        raise ApiError(400, "PGRST100", f'"failed to parse limit or offset ({text})"')
    return int(text)


def _order(text: str) -> tuple[Field, str]:
    target, *modifiers = text.split(".")
    words = {"asc": "asc", "desc": "desc", "nullsfirst": "nulls first", "nullslast": "nulls last"}
    if any(modifier not in words for modifier in modifiers):
        raise ApiError(
            400, "PGRST100", f'"failed to parse order ({text})"', "expecting asc, desc, nullsfirst or nullslast"
        )
    return Scanner(target).whole(lambda s: s.field("")), " ".join(words[modifier] for modifier in modifiers)


class Scanner:
    """Reads one value of the query string from left to right."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def whole(self, rule: Callable[[Scanner], Result]) -> Result:
        """The rule's result when it reads all of the text."""
        result = rule(self)
        if self.at < len(self.text):
            raise self._error("end of input")
        return result

    def select(self) -> tuple[Column | Embed, ...]:
        """Columns and embeds, separated by commas."""
        items = [self._item()]
        while self._take(","):
            items.append(self._item())
        return tuple(items)

    def _item(self) -> Column | Embed:
        alias, target = None, self.field(",():!")
        if self._peek(":") and not self._peek("::"):
            self._take(":")
            alias, target = target.name, self.field(",():!")
        hints = []
        while self._take("!"):
            hints.append(self._until(",():!"))
        if self._take("("):
            inside = () if self._peek(")") else self.select()
            self._need(")")
            named = tuple(hint for hint in hints if hint not in {"inner", "left"})
            return Embed(target.name, alias, named, "inner" in hints, inside)
        return Column(target, alias, self._until(",)") if self._take("::") else None)

    def field(self, stops: str) -> Field:
        """A column's name with its JSON path."""
        name, path = self._until(stops + "\0"), []
        while self._peek("->"):
            arrow = "->>" if self._take("->>") else "->"
            self._take("->")
            path.append((arrow, self._until(stops)))
        if not name:
            raise self._error("field name")
        return Field(name, tuple(path))

    def group(self, joiner: str, is_negated: bool) -> Group:
        """`(a.eq.1,or(…),…)`."""
        self._need("(")
        members = [self._member()]
        while self._take(","):
            members.append(self._member())
        self._need(")")
        return Group(joiner, tuple(members), is_negated)

    def _member(self) -> Condition | Group:
        nested = re.compile(r"(not\.)?(and|or)(?=\()").match(self.text, self.at)
        if nested:
            self.at = nested.end()
            return self.group(nested[2], bool(nested[1]))
        target = self.field(".")
        self._need(".")
        return self.condition(target, is_nested=True)

    def condition(self, target: Field, *, is_nested: bool) -> Condition:
        """`not.eq.value`, up to the end of the text or, nested, to the next comma."""
        is_negated = self._take("not.")
        operator, quantifier = self._until(".("), None
        if self._take("("):
            quantifier = self._until(")")
            self._need(")")
        self._need(".")
        if operator == "in":
            return Condition(target, "in", self._list(), is_negated)
        if operator not in OPERATORS and operator != "is":
            raise self._error("operator (eq, gt, ...)")
        value = self._value(is_nested)
        if operator == "is" and value not in IS_VALUES:
            raise self._error("null, not_null, true, false or unknown")
        return Condition(target, operator, value, is_negated, quantifier)

    def _value(self, is_nested: bool) -> str:
        if not is_nested:
            value, self.at = self.text[self.at :], len(self.text)
            return value
        if self._peek("{"):
            value = self._until("}") + "}"
            self._need("}")
            return value
        return self._until(",)", stops_at_arrow=False)

    def _list(self) -> tuple[str, ...]:
        self._need("(")
        values = []
        while not self._peek(")"):
            values.append(self._until(",)", stops_at_arrow=False))
            if not self._take(","):
                break
        self._need(")")
        return tuple(values)

    def _until(self, stops: str, *, stops_at_arrow: bool = True) -> str:
        """A quoted string, or everything before one of the stops (or an arrow)."""
        if self._take('"'):
            return self._quoted()
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in stops:
            if stops_at_arrow and self._peek("->"):
                break
            self.at += 1
        return self.text[start : self.at]

    def _quoted(self) -> str:
        letters = []
        while self.at < len(self.text) and self.text[self.at] != '"':
            if self.text[self.at] == "\\":
                self.at += 1
            letters.append(self.text[self.at : self.at + 1])
            self.at += 1
        self._need('"')
        return "".join(letters)

    def _peek(self, word: str) -> bool:
        return self.text.startswith(word, self.at)

    def _take(self, word: str) -> bool:
        if not self._peek(word):
            return False
        self.at += len(word)
        return True

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise self._error(f'"{word}"')

    def _error(self, expected: str) -> ApiError:
        found = self.text[self.at : self.at + 1]
        place = f'"failed to parse ({self.text})" (line 1, column {self.at + 1})'
        return ApiError(400, "PGRST100", place, f'unexpected "{found}" expecting {expected}')
