"""Applies supabase/migrations in order and records them like the Supabase CLI, so that both can continue."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import psycopg

from local.errors import StackError

_FIRST = "20261201000000"  # the baseline; older databases have migrations whose files were deleted
_FILE_NAME = re.compile(r"(\d{14})_(\w+)\.sql")
_HISTORY = """
    create schema if not exists supabase_migrations;
    create table if not exists supabase_migrations.schema_migrations
      (version text not null primary key, statements text[], name text);
"""


def apply(dsn: str, directory: Path) -> list[str]:
    """The versions that this call applied, each in its own transaction.

    Raises StackError when an applied migration has no file, when a new one is older than an applied one, or when one
    fails. The migrations before the failed one stay applied.
    """
    files = _files(directory)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_HISTORY)
        rows = connection.execute("select version from supabase_migrations.schema_migrations order by version")
        applied = [row[0] for row in rows]
        _check_order(list(files), applied)
        new = [version for version in files if version not in applied]
        for version in new:
            _apply_one(connection, version, files[version])
    return new


def run(dsn: str, files: Iterable[Path]) -> None:
    """Executes SQL files in order, each in its own transaction, without a record. Raises Problem naming the file."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for path in files:
            try:
                with connection.transaction():
                    connection.execute(path.read_bytes())
            except psycopg.Error as error:
                raise StackError(f"{path.name} failed: {error}") from None


def _files(directory: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(directory.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise StackError(f"{path.name} is not named <14 digits>_<name>.sql")
        if match[1] in files:
            raise StackError(f"{path.name} and {files[match[1]].name} have the same version")
        files[match[1]] = path
    return files


def _check_order(present: list[str], applied: list[str]) -> None:
    missing = [version for version in applied if version not in present]
    if missing and missing[0] < _FIRST and _FIRST in present:
        raise StackError("the database was made before the baseline: run `python -m local reset`, then start again")
    if missing:
        raise StackError(f"the database has migrations whose files are missing: {', '.join(missing)}")
    late = [version for version in present if version not in applied and applied and version < applied[-1]]
    if late:
        raise StackError(f"migrations are older than the newest applied one: {', '.join(late)}")


def _apply_one(connection: psycopg.Connection, version: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    match = _FILE_NAME.fullmatch(path.name)
    name = match[2] if match else ""
    try:
        connection.execute("reset role; reset all")  # undoes session settings of the file before
        with connection.transaction():
            connection.execute(text.encode())
            connection.execute("reset role")
            connection.execute(
                "insert into supabase_migrations.schema_migrations (version, statements, name) values (%s, %s, %s)",
                [version, [text], name],
            )
    except psycopg.Error as error:
        raise StackError(f"migration {path.name} failed: {error}") from None
