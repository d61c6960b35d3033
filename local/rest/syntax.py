"""The syntax elements of a query string: columns, embedded tables, comparisons."""

from __future__ import annotations

from dataclasses import dataclass

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
    "sl": "<<",
    "sr": ">>",
    "nxr": "&<",
    "nxl": "&>",
    "adj": "-|-",
    "isdistinct": "is distinct from",
}
QUERY_FUNCTIONS = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}
QUANTIFIERS = {"any", "all"}
AGGREGATES = {"avg", "count", "max", "min", "sum"}


@dataclass(frozen=True)
class Field:
    """A column with an optional JSON path: `meta->a->>b` has the path (("->", "a"), ("->>", "b")).

    `embed` is the embedded table that has the column, in an order by `authors(name)`.
    """

    name: str
    path: tuple[tuple[str, str], ...] = ()
    embed: str | None = None


@dataclass(frozen=True)
class Column:
    """A selected column; the name `*` means all columns."""

    field: Field
    alias: str | None = None
    cast: str | None = None


@dataclass(frozen=True)
class Embed:
    """A related table embedded in the row; a spread one gives its columns to the row."""

    name: str
    alias: str | None
    hints: tuple[str, ...]
    is_inner: bool
    select: tuple[Column | Embed, ...]
    is_spread: bool = False


@dataclass(frozen=True)
class Condition:
    """One comparison. `option` is the text in brackets: a quantifier, or the language of a text search."""

    field: Field
    operator: str
    value: str | tuple[str, ...]
    is_negated: bool = False
    option: str | None = None


@dataclass(frozen=True)
class Group:
    """Conditions joined by `and` or `or`."""

    joiner: str
    members: tuple[Condition | Group, ...]
    is_negated: bool = False
