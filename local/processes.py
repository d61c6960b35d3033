"""Child processes: start, wait until ready, watch, stop; each in its own session, each with its own log file."""

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

from local.guard import Guard, end_group, is_alive
from local.problems import Interrupted, Problem
from local.sources import Sources

_POLL_SECONDS = 0.05
_GRACE_SECONDS = 5.0
_HOPELESS_DEATHS = 3
_HOPELESS_SECONDS = 15.0
_LOG_LINES = 15


@dataclass(slots=True)
class Child:
    """A running program. `ready_url` answers 200 once it can be used; None when starting is all there is to it.

    `is_waiting` while its code is broken and nobody has changed it.
    """

    name: str
    process: subprocess.Popen[bytes]
    launch: Callable[[], subprocess.Popen[bytes]]
    log: Path
    ready_url: str | None
    echoed: bytes | None = None
    sources: Sources = field(default_factory=Sources)
    is_waiting: bool = field(default=False, init=False)
    _echoed_bytes: int = field(default=0, init=False)
    _deaths: list[float] = field(default_factory=list, init=False)

    @property
    def is_ready(self) -> bool:
        return self.ready_url is None or answers(self.ready_url)

    def check(self) -> None:
        """Raises Problem with the last lines of its log when it has ended."""
        code = self.process.poll()
        if code is not None:
            raise Problem(f"{self.name} ended {_how(code)}; {end_of(self.log)}")

    def note_death(self) -> None:
        """Raises Problem, with the last lines of its log, when starting it again has not helped often enough."""
        now = time.monotonic()
        self._deaths = [death for death in self._deaths if now - death < _HOPELESS_SECONDS] + [now]
        if len(self._deaths) == _HOPELESS_DEATHS:
            self.check()

    def new_echoes(self) -> list[str]:
        """Whole lines of its log that begin with `echoed` and were not returned before."""
        if self.echoed is None:
            return []
        with self.log.open("rb") as file:
            file.seek(self._echoed_bytes)
            whole = file.read().rpartition(b"\n")[0]
        self._echoed_bytes += len(whole) + 1 if whole else 0
        return [line.decode(errors="replace") for line in whole.split(b"\n") if line.startswith(self.echoed)]


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program that is nobody's child, such as what pg_ctl leaves; watched, and ended in its own way."""

    name: str
    pid: int
    log: Path

    def check(self) -> None:
        """Raises Problem with the last lines of its log when it has ended."""
        if not is_alive(self.pid):
            raise Problem(f"{self.name} ended; {end_of(self.log)}")


class Children:
    """Everything one supervisor started, in order."""

    def __init__(self, guard: Guard, stop: threading.Event) -> None:
        self._guard = guard
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
        echoed: bytes | None = None,
        sources: tuple[Path, ...] = (),
    ) -> Child:
        """Starts a program whose standard input stays open exactly as long as this process lives."""

        def launch() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=environ,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # a Ctrl-C is the supervisor's to pass on
                )
            self._guard.watch_group(process.pid)
            return process

        log.unlink(missing_ok=True)
        child = Child(name, launch(), launch, log, ready_url, echoed, Sources(sources))
        self._running.append(child)
        return child

    def watch_daemon(self, daemon: Daemon) -> None:
        """Its end is told; the others go on and answer that they miss it."""
        self._guard.watch_database(daemon.pid)
        self._daemons.append(daemon)

    @contextlib.contextmanager
    def guarding(self, pid: int) -> Iterator[None]:
        """Has a database ended when this process is killed meanwhile; the body stops it."""
        self._guard.watch_database(pid)
        yield
        self._guard.forget_database(pid)

    def wait_ready(self, children: Iterable[Child], timeout_seconds: float) -> None:
        """Returns once all answer. Raises Problem when one ends or the time is over, Interrupted when told to stop."""
        missing = list(children)
        deadline = time.monotonic() + timeout_seconds
        while missing := [child for child in missing if not child.is_ready]:
            self._check()
            if time.monotonic() > deadline:
                late = missing[0]
                when = f"after {timeout_seconds:.0f} s ({late.ready_url})"
                raise Problem(f"{late.name} was not ready {when}; {end_of(late.log)}")
            if self._stop.wait(_POLL_SECONDS):
                raise Interrupted

    def watch(self) -> None:
        """Returns when told to stop; passes on what children have to say, and starts again those that end.

        Raises Problem when one ends over and over.
        """
        while not self._stop.wait(4 * _POLL_SECONDS):
            for child in self._running:
                for line in child.new_echoes():
                    print(line, flush=True)
                if child.sources.have_changed():
                    print(f"{child.name} has changed; it is started again", flush=True)
                    self._relaunch(child, signal.SIGTERM)
                else:
                    self._revive(child)
            for daemon in [each for each in self._daemons if not is_alive(each.pid)]:
                self._daemons.remove(daemon)
                print(
                    f"{daemon.name} ended; stop this stack and start it again to have it back ({daemon.log})",
                    flush=True,
                )

    def _revive(self, child: Child) -> None:
        """Starts it again when it has ended, as a cloud does with a function; broken code waits for its next change."""
        code = child.process.poll()
        if code is None or child.is_waiting:
            return
        if code > 0 and child.sources.are_watched:
            child.is_waiting = True
            print(f"{child.name} ended {_how(code)}; it starts when its code changes; {end_of(child.log)}", flush=True)
            return
        child.note_death()
        print(f"{child.name} ended {_how(code)}; it is started again ({child.log})", flush=True)
        self._relaunch(child, signal.SIGKILL)

    def _relaunch(self, child: Child, signal_number: int) -> None:
        self._end(child, signal_number, _GRACE_SECONDS)
        self._guard.forget_group(child.process.pid)
        child.process, child.is_waiting = child.launch(), False

    def _end(self, child: Child, signal_number: int, grace_seconds: float) -> None:
        """Asks, waits, insists; nothing it started itself is left to hold its port."""
        end_group(child.process.pid, signal_number)
        deadline = time.monotonic() + grace_seconds
        while _is_around(child) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        end_group(child.process.pid, signal.SIGKILL)
        child.process.wait()
        if child.process.stdin:
            child.process.stdin.close()

    def _check(self) -> None:
        for daemon in self._daemons:  # first: when the database is gone, the others fail because of it
            daemon.check()
        for child in self._running:
            child.check()

    def stop(self, grace_seconds: float = _GRACE_SECONDS) -> None:
        """Asks all at once, newest first, then insists; nothing they started themselves is left either."""
        for child in reversed(self._running):
            end_group(child.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        for child in self._running:
            self._end(child, signal.SIGTERM, max(0.0, deadline - time.monotonic()))
        self._running.clear()


def _is_around(child: Child) -> bool:
    child.process.poll()  # reaps it: a zombie would count as a member of the group
    return end_group(child.process.pid, 0)


def _how(code: int) -> str:
    return f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"


def end_of(log: Path) -> str:
    """Where the log is and its last lines, for a message."""
    lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log.exists() else []
    return f"the end of {log}:\n" + ("\n".join(f"  {line}" for line in lines) or "  (it is empty)")


def answers(url: str) -> bool:
    """True when a GET answers 200 within two seconds."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
