"""What a database consists of, as text per object, so that two databases can be compared by name."""

from __future__ import annotations

from pathlib import Path

import psycopg

_QUERY = Path(__file__).with_name("snapshot.sql")


def take(dsn: str) -> dict[str, str]:
    """The definition of each object of the schemas public and private, by the object's kind and name.

    Privileges and comments are objects of their own. Columns carry their position in the table.
    """
    with psycopg.connect(dsn) as connection:
        connection.execute("set search_path = ''")  # so that every name in a definition is qualified
        rows = connection.execute(_QUERY.read_bytes()).fetchall()
    return {f"{kind} {name}": definition for kind, name, definition in rows}


def differences(left: dict[str, str], right: dict[str, str]) -> list[str]:
    """One line for each object that only one side has or that differs; empty when both are the same."""
    lines = []
    for name in sorted({*left, *right}):
        if name not in right:
            lines.append(f"{name}: only in the first database: {left[name]}")
        elif name not in left:
            lines.append(f"{name}: only in the second database: {right[name]}")
        elif left[name] != right[name]:
            lines.append(f"{name}: differs\n  first:  {left[name]}\n  second: {right[name]}")
    return lines
