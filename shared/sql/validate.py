"""The allow-list over a parsed query. A pure function of the tree from DuckDB's own parser and the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from shared.sql.allowed import FUNCTIONS, NODES, TABLE_FUNCTIONS, TYPES

_HINTS = {
    "LAMBDA": "Lambdas and list comprehensions are not available; use unnest() and aggregates.",
    "RECURSIVE_CTE_NODE": "Recursive queries are not available; range() makes series.",
    "SHOW_REF": "DESCRIBE, SHOW and SUMMARIZE are not available; call describe_data.",
    "VALUE_PARAMETER": "Parameters are not available; write the values.",
}


class NotAllowedError(ValueError):
    """The query is not on the allow-list; the text is for the author of the query."""


def check(tree: Mapping[str, Any], tables: AbstractSet[str]) -> None:
    """Raises NotAllowedError unless `tree` is one SELECT of known parts over `tables` (lower case) and its CTEs."""
    if tree.get("error"):
        raise NotAllowedError(_why_unparsed(tree))
    statements = tree.get("statements", [])
    if len(statements) != 1:
        raise NotAllowedError("Send exactly one SELECT statement.")
    todo: list[tuple[Any, frozenset[str]]] = [(statements[0], frozenset())]
    while todo:  # not recursive: the author of the query controls the depth
        value, ctes = todo.pop()
        if isinstance(value, list):
            todo.extend((each, ctes) for each in value)
        elif isinstance(value, dict):
            _check_node(value, tables, ctes)
            todo.extend(_children(value, ctes))


def _why_unparsed(tree: Mapping[str, Any]) -> str:
    if tree.get("error_type") == "parser":
        return f"This is not DuckDB SQL: {str(tree.get('error_message'))[:300]}"
    return "Only a SELECT is available (PIVOT only as FROM t PIVOT (… FOR column IN (…)))."


def _children(node: Mapping[str, Any], ctes: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    """The parts of a node, each with the CTEs that it can see: a CTE sees those before it, not itself.

    A name that is not yet a CTE is looked up in the catalogue, so `with t as (from t)` reads the table t.
    """
    entries = (node.get("cte_map") or {}).get("map") or []
    for entry in entries:
        yield entry["value"], ctes
        ctes |= {str(entry["key"]).lower()}
    for name, value in node.items():
        if name != "cte_map":
            yield value, ctes


def _check_node(node: Mapping[str, Any], tables: AbstractSet[str], ctes: frozenset[str]) -> None:
    kind = node.get("type")
    if not isinstance(kind, str):  # a container without a meaning of its own, such as a literal or a frame
        return
    if kind not in NODES:
        raise NotAllowedError(_HINTS.get(kind, f"{kind.replace('_', ' ').lower()} is not available in a query."))
    if kind == "BASE_TABLE":
        _check_table(_path(node), tables, ctes)
    elif kind == "TABLE_FUNCTION":
        _check_name(_path(node["function"]), TABLE_FUNCTIONS, "The table function")
    elif kind == "FUNCTION" or kind.startswith("WINDOW_"):
        _check_name(_path(node), FUNCTIONS, "The function")
    elif kind == "TYPE":
        _check_name(_path(node), TYPES, "The type")


def _check_table(path: list[str], tables: AbstractSet[str], ctes: frozenset[str]) -> None:
    *schema, name = path
    if not schema and name in ctes:
        return
    if schema not in ([], ["main"]) or name not in tables:
        known = ", ".join(sorted(tables)[:20])
        raise NotAllowedError(f"There is no table {'.'.join(path)[:80]!r}; there are {known}.")


def _check_name(path: list[str], allowed: AbstractSet[str], what: str) -> None:
    if len(path) != 1 or path[0] not in allowed:
        raise NotAllowedError(f"{what} {'.'.join(path)[:80]!r} is not available.")


def _path(node: Mapping[str, Any]) -> list[str]:
    """The parts of a name as the binder will look it up, in lower case, as names are compared."""
    path = (node.get("qualified_name") or {}).get("path") or []
    return [str(part).lower() for part in path] or [""]
