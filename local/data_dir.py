"""The data directory of a stack: its marker, its lock and its secrets."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.errors import AlreadyRunning, StackError
from local.reaper import is_alive

_MARKER = ".parley"
_MARKER_TEXT = "A Parley data directory: `python -m local reset` may delete everything in here.\n"
_LOCK = "pid"


@dataclass(frozen=True, slots=True)
class DataDir:
    """The directory with the state of one stack. `path` is absolute."""

    path: Path

    @property
    def env_file(self) -> Path:
        return self.path / "env"

    @property
    def keys_file(self) -> Path:
        return self.path / "keys.json"

    @property
    def database(self) -> Path:
        return self.path / "postgres"

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def trading(self) -> Path:
        return self.path / "trading.duckdb"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def is_ours(self) -> bool:
        return (self.path / _MARKER).is_file()

    def prepare(self) -> None:
        """Creates the directory and its marker. Raises StackError when it holds other files."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.is_ours:
            if any(self.path.iterdir()):
                raise StackError(f"{self.path} holds other files already; choose an empty directory with --data")
            (self.path / _MARKER).write_text(_MARKER_TEXT)
        for folder in (self.spool, self.logs):
            folder.mkdir(exist_ok=True)

    def clear(self) -> None:
        """Deletes all state except the marker and the lock, which the caller holds."""
        if not self.is_ours:
            raise StackError(f"{self.path} was not made by `python -m local up`; nothing was deleted")
        for entry in self.path.iterdir():
            if entry.name in {_MARKER, _LOCK}:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def running_pid(self) -> int | None:
        """The id of the supervisor that holds the lock; 0 when only its reaper does, None when the lock is free."""
        try:
            descriptor = os.open(self.path / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = self._written_pid()
            return pid if pid is not None and is_alive(pid) else 0
        finally:
            os.close(descriptor)
        return None

    @contextlib.contextmanager
    def lock(self, patience_seconds: float = 15) -> Iterator[int]:
        """Locks the directory; yields the open file, which the reaper inherits.

        After a killed supervisor its reaper holds the lock until all processes have ended; this waits for that.
        Raises AlreadyRunning while a running supervisor holds the lock.
        """
        descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take(descriptor, time.monotonic() + patience_seconds)
            yield descriptor
        finally:
            os.close(descriptor)

    def _take(self, descriptor: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = self._written_pid()
                if (pid is not None and is_alive(pid)) or time.monotonic() > deadline:
                    raise AlreadyRunning(
                        f"a stack is already running on {display_path(self.path)} (process {pid}); "
                        f"stop it with `{command('down', self.path)}`"
                    ) from None
                time.sleep(0.05)
            else:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                return

    def _written_pid(self) -> int | None:
        try:
            return int((self.path / _LOCK).read_text())
        except (OSError, ValueError):
            return None

    def secret(self, name: str, characters: int = 43) -> str:
        """A random value; it is created once and stored in secrets.json."""
        path = self.path / "secrets.json"
        stored: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        if name not in stored:
            stored[name] = secrets.token_urlsafe(characters)[:characters]
            write_private(path, json.dumps(stored, indent=2) + "\n")
        return stored[name]


def write_private(path: Path, text: str) -> None:
    """Replaces the file atomically; only its owner can ever read it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def display_path(path: Path) -> str:
    """The path, relative to the current directory where possible."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def command(words: str, data: Path) -> str:
    """`<this Python> -m local <words>`, with `--data` for a directory other than the default."""
    where = "" if display_path(data) == ".local" else f" --data {display_path(data)}"
    return f"{display_path(Path(sys.executable))} -m local {words}{where}"
