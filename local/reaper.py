"""Ends what a supervisor started when the supervisor itself was killed and could not.

The guard is a child that reads standard input: `file /x` names something to delete, `group 4711` and
`database 4712` something to end, `gone 4711` what has ended by itself, and `done` says that nothing is left. An input
that closes without `done` means that the supervisor is gone. Unlike the kernel's signal at a parent's death, this works
on macOS and reaches the children's own children.
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
    """The supervisor's end of the pipe."""

    def __init__(self, lock: int) -> None:
        """`lock` is the data directory's: the guard holds on to it, so the next stack waits until all has ended."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local.reaper"],
            stdin=subprocess.PIPE,
            cwd=_ROOT,
            pass_fds=[lock],
            start_new_session=True,  # a Ctrl-C in the terminal is not meant for it
            text=True,
        )

    def watch_file(self, path: Path) -> None:
        """To be deleted: it tells of a stack that no longer runs."""
        self._tell(f"file {path}")

    def watch_group(self, pid: int) -> None:
        """To be ended with everything it starts."""
        self._tell(f"group {pid}")

    def forget_group(self, pid: int) -> None:
        """It has ended, and its number may soon be somebody else's."""
        self._tell(f"gone {pid}")

    def watch_database(self, pid: int) -> None:
        """A postmaster, to be shut down in its own way."""
        self._tell(f"database {pid}")

    def dismiss(self) -> None:
        """Everything has ended in good order."""
        self._tell("done")
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin is None or self._process.poll() is not None:
            return  # somebody killed the guard: the stack still ends in good order without it
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def end_group(pid: int, signal_number: int) -> bool:
    """Signals the whole group; False when nothing of it is left."""
    try:
        os.killpg(pid, signal_number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of zombies
        return False
    return True


def main(instructions: TextIO) -> None:
    """Reads until the end, which is either `done` or the supervisor's."""
    watched: dict[str, list[str]] = {"file": [], "group": [], "database": []}
    for line in instructions:
        kind, _, what = line.rstrip("\n").partition(" ")
        if kind == "done":
            return
        if kind == "gone":
            watched["group"].remove(what)
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
    """Whether such a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, as somebody else's
        return True
    return True


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with its supervisor, never before it
    main(sys.stdin)
