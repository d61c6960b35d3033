"""The ledger in the database alone: begin and finish by 1, 4 and 16 clients of pgbench, with and without fsync.

Each call is one round trip with its own transaction, claims and role, as PostgREST sends it. The reference is one
insert of a log row into a table without indexes: a turn without any guarantee.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import database, figures, processes
from bench.figures import Column, Figures
from bench.run import Run
from local import postgres
from tests.postgres_servers import MissingServerError, PostgresServer

CLIENTS = (1, 4, 16)
PEOPLE = 64
REFERENCE = "bare insert"
_TURN = "('00000000-0000-4000-8000-' || lpad(:number::text, 12, '0'))::uuid"
_ANSWER = "token " * 16
_LATENCY = re.compile(r"^ +(\d+\.\d+) +\d+ +(.*)$", re.MULTILINE)
_RATE = re.compile(r"^tps = (\d+\.\d+)", re.MULTILINE)

COLUMNS = (
    Column("begin ms", "begin_ms", 2),
    Column("finish ms", "finish_ms", 2),
    *(
        Column(f"turns/s, {number} client{'s'[: number > 1]}", f"turns_s_{number}", 0, is_rate=True)
        for number in CLIENTS
    ),
    Column("statements/s at most", "statements_s", 0, is_rate=True),
    Column("PostgreSQL CPU ms a turn", "cpu_ms", 2),
)


@dataclass(frozen=True, slots=True)
class Timed:
    """What pgbench measured: transactions per second, and the milliseconds of each command by its first words."""

    rate: float
    latencies_ms: dict[str, float]


def measure(run: Run) -> Figures:
    """Prints a table for each version of PostgreSQL that is installed; figures by version and fsync."""
    found: Figures = {}
    for version in run.versions:
        for has_fsync in (False, True):
            name = f"PostgreSQL {version}, fsync {'on' if has_fsync else 'off'}"
            try:
                with database.migrated_database(PEOPLE, version=version, has_fsync=has_fsync) as server:
                    rows = _measure_server(run, server)
            except MissingServerError as missing:
                print(f"ledger: {missing}")
                continue
            print(f"ledger, {name}")
            print(figures.tables(rows, COLUMNS, REFERENCE))
            found[name] = rows["begin + finish"]
    return found


def _measure_server(run: Run, server: PostgresServer) -> Figures:
    rows: Figures = {}
    for name, script in (("begin + finish", turn_script()), (REFERENCE, insert_script())):
        values: dict[str, float] = {}
        for clients in CLIENTS:
            before = processes.cpu_seconds({"all": server.pid})["all"]
            timed = _pgbench(server, script, clients, run.database_seconds)
            cpu_seconds = processes.cpu_seconds({"all": server.pid})["all"] - before
            values[f"turns_s_{clients}"] = timed.rate
            if clients == 1:
                values |= {f"{key}_ms": value for key, value in timed.latencies_ms.items()}
                values["cpu_ms"] = cpu_seconds * 1000 / (timed.rate * run.database_seconds)
        values["statements_s"] = max(values[f"turns_s_{clients}"] for clients in CLIENTS) * script.count("\\; commit;")
        rows[name] = values
    return dict(reversed(rows.items()))


def _pgbench(server: PostgresServer, script: str, clients: int, seconds: float) -> Timed:
    """One run. Raises SystemExit with its messages when a turn is refused."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "script.sql"
        file.write_text(script)
        threads = min(clients, os.cpu_count() or 1)
        words = ["-n", "-r", "-f", str(file), "-c", str(clients), "-j", str(threads), "-T", str(max(1, round(seconds)))]
        command = [str(postgres.BIN / "pgbench"), *words, database.dsn_of(server, "authenticator")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode:
        raise SystemExit(f"pgbench failed: {done.stderr[-1000:]}")
    return parse_pgbench(done.stdout)


def parse_pgbench(output: str) -> Timed:
    """The rate, and the latency of each command that has a name in a comment: `/* begin */`."""
    rate = _RATE.search(output)
    named = {}
    for latency, command in _LATENCY.findall(output):
        name = re.search(r"/\* (\w+) \*/", command)
        if name:
            named[name.group(1)] = float(latency)
    return Timed(float(rate.group(1)) if rate else 0.0, named)


def turn_script() -> str:
    """One turn of completions by a random user."""
    person = database.PERSON.format(n=":person")
    begin = database.BEGIN_FIELDS.format(turn=_TURN) + ", " + database.COMPLETION_FIELDS
    finish = database.FINISH_FIELDS.format(turn=_TURN, answer=_ANSWER)
    return "\n".join(
        [
            "\\set number random(1, 999999999999)",
            f"\\set person random(1, {PEOPLE})",
            _transaction(
                "begin",
                database.USER_CLAIMS.format(person=person),
                f"select public.chat_begin(jsonb_build_object({begin}))",
            ),
            _transaction("finish", database.SERVICE_CLAIMS, f"select public.chat_finish(jsonb_build_object({finish}))"),
        ]
    )


def insert_script() -> str:
    """One row in a table like chat_logs, without indexes and constraints."""
    names = "id, turn_id, endpoint, status, question, response, tools_used, escalation_suggested, attempts, metadata"
    values = f"1, {_TURN}, 'bench', 'completed', 'a question', '{_ANSWER}', '[]', false, '[]', '{{}}'"
    insert = f"insert into bench.log_rows ({names}, created_at) values ({values}, now())"
    return "\n".join(["\\set number random(1, 999999999999)", _transaction("insert", database.SERVICE_CLAIMS, insert)])


def _transaction(name: str, *statements: str) -> str:
    """Statements that pgbench sends as one message, on one line."""
    flat = [" ".join(statement.split()) for statement in statements]
    return f"/* {name} */ begin\\; " + "\\; ".join(flat) + "\\; commit;"
