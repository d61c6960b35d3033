"""Starts, watches and stops child processes; each has its own session and log file."""

from __future__ import annotations

import contextlib
import http.client
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from local.errors import Interrupted, StackError
from local.reaper import Reaper, end_group, is_alive
from local.source_watcher import SourceWatcher

_POLL_SECONDS = 0.05
_GRACE_SECONDS = 5.0
_MAX_EXITS = 3
_EXITS_WINDOW_SECONDS = 15.0
_LOG_LINES = 15


@dataclass(slots=True)
class Child:
    """A running program. `ready_url` answers 200 when it is ready; None when it is ready at once.

    `is_waiting_for_change` is true after broken code ended the program, until its sources change.
    """

    name: str
    process: subprocess.Popen[bytes]
    launch: Callable[[], subprocess.Popen[bytes]]
    log: Path
    ready_url: str | None
    echo_prefix: bytes | None = None
    sources: SourceWatcher = field(default_factory=SourceWatcher)
    is_waiting_for_change: bool = field(default=False, init=False)
    _echo_offset: int = field(default=0, init=False)
    _exits: list[float] = field(default_factory=list, init=False)

    @property
    def is_ready(self) -> bool:
        return self.ready_url is None or answers(self.ready_url)

    def check(self) -> None:
        """Raises StackError with the last log lines when the program has ended."""
        code = self.process.poll()
        if code is not None:
            raise StackError(f"{self.name} ended {_exit_text(code)}; {log_tail(self.log)}")

    def record_exit(self) -> None:
        """Counts an exit. Raises StackError with the last log lines at the third exit within 15 seconds."""
        now = time.monotonic()
        self._exits = [exit_time for exit_time in self._exits if now - exit_time < _EXITS_WINDOW_SECONDS] + [now]
        if len(self._exits) == _MAX_EXITS:
            self.check()

    def new_echo_lines(self) -> list[str]:
        """Complete log lines that start with `echo_prefix`, each returned once."""
        if self.echo_prefix is None:
            return []
        with self.log.open("rb") as file:
            file.seek(self._echo_offset)
            whole = file.read().rpartition(b"\n")[0]
        self._echo_offset += len(whole) + 1 if whole else 0
        return [line.decode(errors="replace") for line in whole.split(b"\n") if line.startswith(self.echo_prefix)]


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program that is not a child of this process, such as PostgreSQL after pg_ctl."""

    name: str
    pid: int
    log: Path

    def check(self) -> None:
        """Raises StackError with the last log lines when the program has ended."""
        if not is_alive(self.pid):
            raise StackError(f"{self.name} ended; {log_tail(self.log)}")


class Children:
    """All programs of one supervisor, in the order of their start."""

    def __init__(self, reaper: Reaper, stop: threading.Event) -> None:
        self._reaper = reaper
        self._stop = stop
        self._running: list[Child] = []
        self._daemons: list[Daemon] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        log: Path,
        ready_url: str | None = None,
        echo_prefix: bytes | None = None,
        sources: tuple[Path, ...] = (),
    ) -> Child:
        """Starts a program. Its standard input stays open as long as this process runs."""

        def launch() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=environ,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # only the supervisor handles Ctrl-C
                )
            self._reaper.watch_group(process.pid)
            return process

        log.unlink(missing_ok=True)
        child = Child(name, launch(), launch, log, ready_url, echo_prefix, SourceWatcher(sources))
        self._running.append(child)
        return child

    def watch_daemon(self, daemon: Daemon) -> None:
        """Watches a daemon. Its end is printed; the other programs continue and answer with errors."""
        self._reaper.watch_database(daemon.pid)
        self._daemons.append(daemon)

    @contextlib.contextmanager
    def guarding(self, pid: int) -> Iterator[None]:
        """While the body runs, the reaper ends this database if this process is killed; the body itself stops it."""
        self._reaper.watch_database(pid)
        yield
        self._reaper.forget_database(pid)

    def wait_ready(self, children: Iterable[Child], timeout_seconds: float) -> None:
        """Returns once all are ready. Raises StackError when one ends or time runs out, Interrupted after a stop."""
        missing = list(children)
        deadline = time.monotonic() + timeout_seconds
        while missing := [child for child in missing if not child.is_ready]:
            self._check()
            if time.monotonic() > deadline:
                slow = missing[0]
                when = f"after {timeout_seconds:.0f} s ({slow.ready_url})"
                raise StackError(f"{slow.name} was not ready {when}; {log_tail(slow.log)}")
            if self._stop.wait(_POLL_SECONDS):
                raise Interrupted

    def watch(self) -> None:
        """Runs until the stop event: prints echoed log lines and restarts programs that end or change.

        Raises StackError when a program ends again and again.
        """
        while not self._stop.wait(4 * _POLL_SECONDS):
            for child in self._running:
                for line in child.new_echo_lines():
                    print(line, flush=True)
                if child.sources.have_changed():
                    print(f"{child.name} has changed; it is restarted", flush=True)
                    self._relaunch(child, signal.SIGTERM)
                else:
                    self._restart_if_ended(child)
            for daemon in [each for each in self._daemons if not is_alive(each.pid)]:
                self._daemons.remove(daemon)
                print(
                    f"{daemon.name} ended; stop this stack and start it again ({daemon.log})",
                    flush=True,
                )

    def _restart_if_ended(self, child: Child) -> None:
        """Restarts a program that has ended, as a cloud does; after broken code it waits for a change."""
        code = child.process.poll()
        if code is None or child.is_waiting_for_change:
            return
        if code > 0 and child.sources.are_watched:
            child.is_waiting_for_change = True
            print(
                f"{child.name} ended {_exit_text(code)}; it starts when its code changes; {log_tail(child.log)}",
                flush=True,
            )
            return
        child.record_exit()
        print(f"{child.name} ended {_exit_text(code)}; it is restarted ({child.log})", flush=True)
        self._relaunch(child, signal.SIGKILL)

    def _relaunch(self, child: Child, signal_number: int) -> None:
        self._end(child, signal_number, _GRACE_SECONDS)
        self._reaper.remove_group(child.process.pid)
        child.process, child.is_waiting_for_change = child.launch(), False

    def _end(self, child: Child, signal_number: int, grace_seconds: float) -> None:
        """Sends the signal, waits, then kills the whole group, so that no grandchild keeps the port."""
        end_group(child.process.pid, signal_number)
        deadline = time.monotonic() + grace_seconds
        while _is_group_alive(child) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        end_group(child.process.pid, signal.SIGKILL)
        child.process.wait()
        if child.process.stdin:
            child.process.stdin.close()

    def _check(self) -> None:
        for daemon in self._daemons:  # first: without the database the children fail too
            daemon.check()
        for child in self._running:
            child.check()

    def stop(self, grace_seconds: float = _GRACE_SECONDS) -> None:
        """Sends SIGTERM to all groups, newest first, waits, then kills what is left."""
        for child in reversed(self._running):
            end_group(child.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        for child in self._running:
            self._end(child, signal.SIGTERM, max(0.0, deadline - time.monotonic()))
        self._running.clear()


def _is_group_alive(child: Child) -> bool:
    child.process.poll()  # reaps the child: a zombie would count as a group member
    return end_group(child.process.pid, 0)


def _exit_text(code: int) -> str:
    return f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"


def log_tail(log: Path) -> str:
    """The path and the last lines of a log, for a message."""
    lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log.exists() else []
    return f"the end of {log}:\n" + ("\n".join(f"  {line}" for line in lines) or "  (the log is empty)")


def answers(url: str) -> bool:
    """Whether a GET answers 200 within two seconds."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
