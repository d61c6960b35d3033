"""Writes a migration with what the schema files have and the migrations lack; the author reads and edits it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from local import baseline, migrations, postgres, snapshot
from local.errors import StackError

_HEADER = """\
-- Purpose: TODO: say in one sentence what changes and why.
-- Affects: TODO: tables and functions.
-- Access: TODO: who may do what.
-- Read every statement: the generator may write grants in the wrong order. `make test` compares the result.

"""


def main(arguments: list[str]) -> int:
    """Writes supabase/migrations/<UTC time>_<name>.sql; the exit code."""
    if len(arguments) != 1 or not re.fullmatch(r"[a-z][a-z0-9_]*", arguments[0]):
        print("name the migration: make migration NAME=add_ratings", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="parley-migration-"))
    folder.chmod(0o755)
    port = _free_port()
    postgres.start(folder / "data", port)
    try:
        text = _difference(port)
    except StackError as problem:
        print(problem, file=sys.stderr)
        return 1
    finally:
        postgres.stop(folder / "data")
        shutil.rmtree(folder)
    if not text:
        print("schemas and migrations make the same database: there is nothing to write")
        return 0
    if not baseline.is_frozen():
        print("This first migration freezes the baseline. Before the first release, `make baseline` alone is enough.")
    path = baseline.MIGRATIONS / f"{_version()}_{arguments[0]}.sql"
    path.write_text(_HEADER + text, encoding="utf-8")
    print(f"Wrote {path.relative_to(baseline.ROOT)}: read and edit it, then run `make baseline` for its checksum.")
    return 0


def _version() -> str:
    """The UTC time as 14 digits, or the newest migration's version plus one where that is later."""
    newest = max(int(path.name.split("_")[0]) for path in baseline.MIGRATIONS.glob("*.sql"))
    return str(max(int(f"{datetime.now(UTC):%Y%m%d%H%M%S}"), newest + 1))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((postgres.HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def summary(differences: list[str]) -> str:
    """SQL comments: the first line of each difference, and both definitions of a column, which show its position."""
    shown = [each.splitlines()[: None if each.startswith("column ") else 1] for each in differences]
    return "".join(f"-- {line[:110]}\n" for lines in shown for line in lines)


def _difference(port: int) -> str:
    """SQL from the migrations' database to the schemas'; empty when they are the same. Raises StackError."""
    for name in ("migrated", "declared"):
        postgres.prepare_database(port, name)
    migrated, declared = postgres.dsn(port, dbname="migrated"), postgres.dsn(port, dbname="declared")
    migrations.apply(migrated, baseline.MIGRATIONS)
    migrations.run(declared, baseline.schema_files())
    found = snapshot.differences(snapshot.take(migrated), snapshot.take(declared))
    if not found:
        return ""
    text = f"What differs between the migrations (first) and the schemas (second):\n{summary(found)}"
    done = subprocess.run(
        ["npx", "--no-install", "supabase", "db", "diff", "--use-pg-delta", "--from", migrated, "--to", declared],
        cwd=baseline.ROOT,
        env=os.environ | {"SUPABASE_TELEMETRY_DISABLED": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        return f"-- The CLI could not write the statements. {text}"
    statements = [line for line in done.stdout.splitlines() if not line.startswith(("\u2502", "\u25b2"))]  # notices
    return f"-- {text}\n" + "\n".join(statements).strip() + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
