"""Parses one value of a query string from left to right: selects, filters and groups of filters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from local.rest.errors import ApiError
from local.rest.syntax import (
    AGGREGATES,
    OPERATORS,
    QUANTIFIERS,
    QUERY_FUNCTIONS,
    Column,
    Condition,
    Embed,
    Field,
    Group,
)

Result = TypeVar("Result")

_QUANTIFIED = {"eq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch"}
_IS_VALUES = {"null", "not_null", "true", "false", "unknown"}
_NESTED_GROUP = re.compile(r"(not\.)?(and|or) *(?=\()")
_MAX_DEPTH = 20  # deeper than real queries, within Python's stack limit


def _is_aggregate(target: Field) -> bool:
    name, dot, function = (target.path[-1][1] if target.path else target.name).rpartition(".")
    return function in AGGREGATES and (bool(dot and name) or function == "count")


class Scanner:
    """A position in a text. Every rule raises ApiError 400 for invalid syntax."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self._depth = text, 0, 0

    def whole(self, rule: Callable[[Scanner], Result]) -> Result:
        """The result of the rule. Raises ApiError when the rule does not read the whole text."""
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
        self._spaces()
        is_spread = self._take("...") or self._take("..")
        alias, target = None, self.field(",():!")
        if self._peek(":") and not self._peek("::") and not is_spread:
            self._take(":")
            alias, target = target.name, self.field(",():!")
        hints = []
        while self._take("!"):
            hints.append(self._until(",():!"))
        if self._peek("()") and not hints and _is_aggregate(target):
            raise ApiError(400, "PGRST123", "Use of aggregate functions is not allowed")
        if (self._peek("(") or hints) and target.path:
            raise self._error("a JSON path or a column name")
        if self._take("("):
            with self._deeper():
                self._spaces()
                inside = () if self._peek(")") else self.select()
            self._need(")")
            self._spaces()
            named = tuple(hint for hint in hints if hint not in {"inner", "left"})
            return Embed(target.name, alias, named, "inner" in hints, inside, is_spread)
        if is_spread or hints:
            raise self._error('"("')
        return Column(target, alias, self._until(",)").strip() if self._take("::") else None)

    def field(self, stops: str) -> Field:
        """A column name with its JSON path; ignores spaces around an unquoted name."""
        self._spaces()
        is_quoted, path = self._peek('"'), []
        name = self._until(stops)
        while self._peek("->"):
            arrow = "->>" if self._take("->>") else "->"
            self._take("->")
            path.append((arrow, self._until(stops).strip()))
        name = name if is_quoted else name.strip()
        if not name:
            raise self._error("field name")
        return Field(name, tuple(path))

    def group(self, joiner: str, *, is_negated: bool) -> Group:
        """`(a.eq.1,or(…),…)`."""
        self._spaces()
        self._need("(")
        with self._deeper():
            members = [self._member()]
            while self._take(","):
                members.append(self._member())
        self._need(")")
        self._spaces()
        return Group(joiner, tuple(members), is_negated)

    def _member(self) -> Condition | Group:
        self._spaces()
        nested = _NESTED_GROUP.match(self.text, self.at)
        if nested:
            self.at = nested.end()
            return self.group(nested[2], is_negated=bool(nested[1]))
        target = self.field(".")
        self._need(".")
        return self.condition(target, is_nested=True)

    def condition(self, target: Field, *, is_nested: bool) -> Condition:
        """`not.eq.value`, up to the end of the text or, nested, to the next comma."""
        is_negated = self._take("not.")
        operator, option = self._until(".("), None
        if self._take("("):
            option = self._until(")")
            self._need(")")
        self._need(".")
        if operator not in {*OPERATORS, *QUERY_FUNCTIONS, "in", "is"}:
            raise self._error("operator (eq, gt, ...)")
        is_known = option in QUANTIFIERS if operator in _QUANTIFIED else operator in QUERY_FUNCTIONS
        if option is not None and not is_known:
            raise self._error('"."')
        if operator == "in":
            return Condition(target, "in", self._list(), is_negated)
        value = self._value(is_nested)
        if operator == "is":
            value = value.strip().lower()
            if value not in _IS_VALUES:
                raise self._error("null, not_null, true, false or unknown")
        return Condition(target, operator, value, is_negated, option)

    def _value(self, is_nested: bool) -> str:
        if not is_nested:
            value, self.at = self.text[self.at :], len(self.text)
            return value
        if self._peek("{"):
            value = self._until("}", stops_at_arrow=False) + "}"
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

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(f"at most {_MAX_DEPTH} levels")
        yield
        self._depth -= 1

    def _spaces(self) -> None:
        while self._take(" "):
            pass

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
