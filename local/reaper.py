"""Ends the processes of a supervisor that was killed.

The reaper is a child process that reads instructions from standard input: `file /x` names a file to delete,
`group 4711` and `database 4712` name processes to end, `gone 4711` removes a group that has ended, and `done` ends the
reaper. Input that closes without `done` means that the supervisor was killed. Unlike the kernel's parent-death signal,
this works on macOS and reaches grandchildren.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

_ROOT = Path(__file__).resolve().parent.parent
_GRACE_SECONDS = 3.0


class Reaper:
    """Starts the reaper and sends it instructions."""

    def __init__(self, lock: int) -> None:
        """The reaper inherits `lock` of the data directory, so the next stack waits until all processes have ended."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local.reaper"],
            stdin=subprocess.PIPE,
            cwd=_ROOT,
            pass_fds=[lock],
            start_new_session=True,  # Ctrl-C in the terminal must not reach it
            text=True,
        )

    def watch_file(self, path: Path) -> None:
        """Adds a file to delete, as it describes a running stack."""
        self._send(f"file {path}")

    def watch_group(self, pid: int) -> None:
        """Adds a process group to end."""
        self._send(f"group {pid}")

    def remove_group(self, pid: int) -> None:
        """Removes a group that has ended, as the system may reuse its id."""
        self._send(f"gone {pid}")

    def watch_database(self, pid: int) -> None:
        """Adds a postmaster to shut down."""
        self._send(f"database {pid}")

    def forget_database(self, pid: int) -> None:
        """Removes a postmaster that was stopped, as the system may reuse its id."""
        self._send(f"gone {pid}")

    def end(self) -> None:
        """Ends the reaper after a normal shutdown."""
        self._send("done")
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        if self._process.stdin is None or self._process.poll() is not None:
            return  # the reaper was killed; the supervisor can still shut down without it
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def end_group(pid: int, signal_number: int) -> bool:
    """Signals a process group; False when it has ended."""
    try:
        os.killpg(pid, signal_number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS raises this for a group of zombies
        return False
    return True


def main(instructions: TextIO) -> None:
    """Reads instructions; cleans up when the input ends without `done`."""
    watched: dict[str, list[str]] = {"file": [], "group": [], "database": []}
    for line in instructions:
        kind, _, what = line.rstrip("\n").partition(" ")
        if kind == "done":
            return
        if kind == "gone":
            for pids in (watched["group"], watched["database"]):
                pids[:] = [pid for pid in pids if pid != what]
        else:
            watched[kind].append(what)
    for path in watched["file"]:
        Path(path).unlink(missing_ok=True)
    _end([int(pid) for pid in watched["group"]], [int(pid) for pid in watched["database"]])


def _end(groups: list[int], databases: list[int]) -> None:
    for group in groups:
        end_group(group, signal.SIGTERM)
    for database in databases:
        with contextlib.suppress(ProcessLookupError):
            os.kill(database, signal.SIGINT)  # PostgreSQL's fast shutdown
    deadline = time.monotonic() + _GRACE_SECONDS
    while any(end_group(group, 0) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    for group in groups:
        end_group(group, signal.SIGKILL)
    while any(is_alive(database) for database in databases) and time.monotonic() < deadline + _GRACE_SECONDS:
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs as another user
        return True
    return True


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it must outlive its supervisor
    main(sys.stdin)
