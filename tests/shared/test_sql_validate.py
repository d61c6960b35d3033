"""The allow-list over trees made by hand, including nodes that DuckDB's parser does not have yet."""

from __future__ import annotations

from typing import Any

import pytest

from shared.sql.validate import NotAllowedError, check

_TABLES = frozenset({"bars"})


def _table(*path: str) -> dict[str, Any]:
    return {"type": "BASE_TABLE", "qualified_name": {"path": list(path)}}


def _select(source: dict[str, Any], *ctes: tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    entries = [{"key": name, "value": {"query_node": body}} for name, body in ctes]
    return {"type": "SELECT_NODE", "cte_map": {"map": entries}, "from_table": source, **more}


def _tree(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"error": False, "statements": [{"node": node} for node in nodes]}


def test_a_known_table_passes_in_any_case() -> None:
    """Names are compared as DuckDB compares them, alone or in the schema main."""
    for path in (["bars"], ["BARS"], ["main", "Bars"]):
        check(_tree(_select(_table(*path))), _TABLES)


@pytest.mark.parametrize("path", [["other"], ["temp", "bars"], ["trading", "main", "bars"], [], ["main.bars"]])
def test_any_other_table_is_refused(path: list[str]) -> None:
    """A table in another schema or catalogue is not looked up; the hint names the existing tables."""
    with pytest.raises(NotAllowedError, match="there are bars"):
        check(_tree(_select(_table(*path))), _TABLES)


def test_a_cte_is_seen_by_those_after_it_only() -> None:
    """Neither the CTE itself, nor one before it, nor a query around it may read the catalogue under its name."""
    inner, secret = _select(_table("bars")), _select(_table("secret"))
    check(_tree(_select(_table("secret"), ("secret", inner))), _TABLES)
    check(_tree(_select(_table("b"), ("secret", inner), ("b", secret))), _TABLES)
    for node in (
        _select(_table("secret"), ("secret", secret)),
        _select(_table("b"), ("b", secret), ("secret", inner)),
        _select(_table("secret"), where={"type": "SUBQUERY", "node": _select(_table("bars"), ("secret", inner))}),
    ):
        with pytest.raises(NotAllowedError):
            check(_tree(node), _TABLES)


@pytest.mark.parametrize("kind", ["DELETE_QUERY_NODE", "SHOW_REF", "LAMBDA", "RECURSIVE_CTE_NODE", "A_NEW_NODE"])
def test_an_unknown_node_is_refused_wherever_it_stands(kind: str) -> None:
    """An unknown node is refused at any depth and under any key."""
    for place in ({"x": {"y": [[{"type": kind}]]}}, {"sample": {"type": kind}}):
        with pytest.raises(NotAllowedError):
            check(_tree(_select(_table("bars"), **place)), _TABLES)


def test_a_function_is_known_by_the_name_it_is_looked_up_by() -> None:
    """The path decides, not the display name; a function with a schema or without a path is refused."""
    for path, is_allowed in ((["SUM"], True), (["getenv"], False), (["main", "sum"], False), ([], False)):
        call = {"type": "FUNCTION", "function_name": "sum", "qualified_name": {"path": path}}
        if is_allowed:
            check(_tree(_select(_table("bars"), select=call)), _TABLES)
        else:
            with pytest.raises(NotAllowedError):
                check(_tree(_select(_table("bars"), select=call)), _TABLES)


def test_a_function_over_rows_is_not_one_over_tables() -> None:
    """`histogram` of a column is an aggregate; `from histogram('table', …)` reads the table that its text names."""
    call = {"type": "FUNCTION", "qualified_name": {"path": ["histogram"]}}
    check(_tree(_select(_table("bars"), select=call)), _TABLES)
    with pytest.raises(NotAllowedError):
        check(_tree(_select({"type": "TABLE_FUNCTION", "function": call})), _TABLES)


def test_it_is_one_statement() -> None:
    """No statement, two statements and a syntax error are refused, each with a hint."""
    one = _select(_table("bars"))
    for tree in (_tree(), _tree(one, one), {"error": True, "error_type": "parser", "error_message": "at x"}, {}):
        with pytest.raises(NotAllowedError, match=r"."):
            check(tree, _TABLES)


def test_a_deep_tree_is_walked_without_recursion() -> None:
    """Depth is the writer's choice and must not end the process."""
    node: dict[str, Any] = _select(_table("bars"))
    for _ in range(50_000):
        node = {"x": node}
    check(_tree(node), _TABLES)


@pytest.mark.parametrize("kind", ["FUNCTION", "WINDOW_AGGREGATE", "WINDOW_ROW_NUMBER"])
def test_an_unlisted_function_is_refused_in_a_window_too(kind: str) -> None:
    """A function with OVER () must be on the list, like any other function; a listed one passes."""

    def query(name: str) -> dict[str, Any]:
        return _tree(_select(_table("bars"), select_list=[{"type": kind, "qualified_name": {"path": [name]}}]))

    check(query("sum"), _TABLES)
    with pytest.raises(NotAllowedError, match="'getenv' is not available"):
        check(query("getenv"), _TABLES)
