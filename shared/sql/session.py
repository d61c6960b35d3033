"""DuckDB over one file, read-only and sandboxed; only the child process imports this."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb

from shared.sql.cells import CELL_CHARACTERS, RESULT_BYTES, ROWS, TooLargeError, packed
from shared.sql.validate import NotAllowedError, check

SQL_BYTES: Final = 8_192
_MEMORY_MB = 192
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "access_mode": "read_only",
    "allow_community_extensions": False,
    "allow_unsigned_extensions": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_access": False,
    "memory_limit": f"{_MEMORY_MB}MB",
    "python_enable_replacements": False,
    "python_scan_all_frames": False,
    "temp_directory": "",
    "threads": 2,
    "lock_configuration": True,
}
_TABLES = """
    select table_name, comment from duckdb_tables() where not internal and schema_name = 'main'
    union all
    select view_name, comment from duckdb_views() where not internal and schema_name = 'main'
    order by 1
"""
_COLUMNS = """
    select column_name, data_type, comment from duckdb_columns()
    where not internal and schema_name = 'main' and table_name = ? order by column_index
"""
# Models often end a query with a semicolon and a comment.
_END = re.compile(r"(?:;(?:\s|;|--[^\n]*(?:\n|\Z))*|\s+)\Z")
_PATH = re.compile(r"(?:/[^\s/'\"]+){2,}/?")

Answer = dict[str, Any]


class Session:
    """Answers requests. Every call has its own connection, so no state reaches the next."""

    def __init__(self, path: Path) -> None:
        """Raises duckdb.Error when the file cannot be opened."""
        self._database = duckdb.connect(path, config=CONFIG)
        self._operations: dict[str, Callable[[duckdb.DuckDBPyConnection, Mapping[str, Any]], Answer]] = {
            "query": self._query,
            "describe": self._describe,
        }

    def close(self) -> None:
        """Closes the file, so that this process can open it in another way."""
        self._database.close()

    def answer(self, request: Mapping[str, Any]) -> Answer:
        """`{"content": …}`, or `{"error": code, "hint": …}`; `"spent": true` when this process should not go on."""
        try:
            with self._database.cursor() as cursor:
                return {"content": self._operations[request["operation"]](cursor, request)}
        except NotAllowedError as error:
            return _refusal("query_not_allowed", str(error))
        except TooLargeError as error:
            return _refusal("result_too_large", str(error))
        except (duckdb.OutOfMemoryException, MemoryError):
            hint = f"The query needs more than {_MEMORY_MB} MB; aggregate, filter or select fewer columns."
            return _refusal("query_failed", hint) | {"spent": True}
        except duckdb.FatalException:
            return _refusal("query_failed", "DuckDB gave up on this query.") | {"spent": True}
        except duckdb.Error as error:
            return _refusal("query_failed", _cleaned(str(error)))

    def _query(self, cursor: duckdb.DuckDBPyConnection, request: Mapping[str, Any]) -> Answer:
        sql = _text(str(request["sql"]))
        # The query runs as a subquery that converts each cell to text and cuts it, with a limit of one row more than is
        # shown. Both texts are validated, so the query cannot close the bracket and continue after it.
        cell = f"left(columns(*)::varchar, {CELL_CHARACTERS + 1})"
        framed = f"select {cell} from (\n{sql}\n) limit {ROWS + 1}"  # noqa: S608 - parsed and checked below
        tables = {str(name).lower() for name, _ in cursor.execute(_TABLES).fetchall()}
        for text in (sql, framed):
            check(_parsed(cursor, text), tables)
        shape = cursor.sql(sql)
        columns, types = shape.columns, [str(kind) for kind in shape.types]
        return packed(columns, types, cursor.execute(framed).fetchmany(ROWS + 1))

    def _describe(self, cursor: duckdb.DuckDBPyConnection, request: Mapping[str, Any]) -> Answer:
        wanted = request.get("table")
        found = cursor.execute(_TABLES).fetchall()
        names = [name for name, _ in found]
        if wanted is not None and wanted.lower() not in map(str.lower, names):
            raise NotAllowedError(f"There is no table {wanted[:80]!r}; there are {', '.join(names)[:500]}.")
        left, tables = RESULT_BYTES, []
        for name, about in found:
            if wanted is None or name.lower() == wanted.lower():
                entry = _described(cursor, name, about)
                left -= len(json.dumps(entry))
                tables.append(entry if left > 0 else {"name": name})
        return {"tables": tables, "truncated": left <= 0}


def _text(sql: str) -> str:
    """The query without final semicolons and comments. Raises NotAllowedError for a long query and for invalid text."""
    try:
        size = len(sql.encode())
    except UnicodeEncodeError:  # half a surrogate pair
        size = 0
    if not 0 < size <= SQL_BYTES or "\0" in sql:
        raise NotAllowedError(f"A query is one SELECT of at most {SQL_BYTES} bytes of text.")
    return _END.sub("", sql)


def _parsed(cursor: duckdb.DuckDBPyConnection, sql: str) -> Mapping[str, Any]:
    """The tree that DuckDB's own parser makes of the text."""
    query = "select json_serialize_sql($1, skip_null := true, skip_empty := true)::varchar"
    row = cursor.execute(query, [sql]).fetchone()
    try:
        tree: Mapping[str, Any] = json.loads(row[0] if row else "{}")
    except RecursionError:
        raise NotAllowedError("The query is nested too deeply.") from None
    return tree


def _described(cursor: duckdb.DuckDBPyConnection, name: str, about: str | None) -> Answer:
    columns = cursor.execute(_COLUMNS, [name]).fetchall()
    entry: Answer = {"name": name, **({"about": about} if about else {})}
    entry["columns"] = {each: kind + (f" - {note}" if note else "") for each, kind, note in columns}
    times = [each for each, kind, _ in columns if kind == "DATE" or kind.startswith("TIMESTAMP")]
    reach = f", min({_quoted(times[0])})::varchar, max({_quoted(times[0])})::varchar" if times else ""
    try:
        row = cursor.execute(f"select count(*){reach} from main.{_quoted(name)}").fetchone()  # noqa: S608 - quoted
    except duckdb.Error:  # a view over a table that the sandbox cannot read
        return entry
    if row:
        entry["rows"] = row[0]
        if times and row[1] is not None:
            entry["from"], entry["to"] = row[1], row[2]
    return entry


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _cleaned(message: str) -> str:
    """DuckDB's error message without the excerpt of the query that was run, and without any path."""
    return _PATH.sub("…", message.partition("\n\nLINE ")[0])[:500].strip()


def _refusal(code: str, hint: str) -> Answer:
    return {"error": code, "hint": hint}
