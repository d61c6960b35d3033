"""The parent's side of the sandbox: at most two children, a time limit for each query, a new child after a fault."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from shared.http import at_close
from shared.log import log

Answer = dict[str, Any]

QUERY_SECONDS: Final = 10.0
_START_SECONDS = 30.0
_ANSWER_BYTES = 1_000_000
_WORKERS = 2
_PASSED_ON = ("LD_LIBRARY_PATH", "PYTHONHOME", "TMPDIR")  # some hosts' Python needs them to start or unpack


class _WorkerDiedError(Exception):
    """The process ended, or its output is not a reply."""


class Worker:
    """One child process, which runs one query at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, path: Path) -> Worker | None:
        """A child that is ready for `path`; None when it does not start, which is logged."""
        environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        worker = cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "shared.sql.child", str(path)),
                cwd="/",
                # One arena: the others would each take 64 MB of the child's address space.
                env=environ | {"PYTHONPATH": _import_path(), "MALLOC_ARENA_MAX": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_ANSWER_BYTES,
            )
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                answer = await worker._read_reply()
        except (_WorkerDiedError, TimeoutError) as error:
            answer = {"error": type(error).__name__}
        if answer.get("ready"):
            return worker
        log("sql_worker_failed", reason=answer.get("error"))
        await worker.end()
        return None

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, request: Mapping[str, Any], seconds: float) -> Answer:
        """The reply. Raises _WorkerDiedError, and TimeoutError after `seconds`."""
        line = json.dumps({**request, "seconds": seconds}).encode() + b"\n"
        async with asyncio.timeout(seconds):
            if self._process.stdin is None:
                raise _WorkerDiedError
            try:
                self._process.stdin.write(line)
                await self._process.stdin.drain()
            except OSError as error:
                raise _WorkerDiedError from error
            return await self._read_reply()

    def kill(self) -> None:
        """Kills the child."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """Kills the child and waits for its end."""
        self.kill()
        await self._process.communicate()

    async def _read_reply(self) -> Answer:
        if self._process.stdout is None:
            raise _WorkerDiedError
        try:
            answer: Answer = json.loads(await self._process.stdout.readline())
        except (OSError, ValueError) as error:  # the process ended, or the line is too long or invalid
            raise _WorkerDiedError from error
        return answer


Starting = asyncio.Task[Worker | None]


class Workers:
    """The children of one database file. A query waits for a free child; a child that failed gets no further query."""

    def __init__(self, path: Path, *, seconds: float = QUERY_SECONDS, most: int = _WORKERS) -> None:
        self._path, self._seconds = path, seconds
        self._places, self._most = asyncio.Semaphore(most), most
        self._busy = 0
        self._ready: list[Starting] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def start_ahead(self) -> None:
        """Starts a child in the background."""
        if not (self._ready or self._is_closed or self._busy >= self._most):
            self._ready.append(self._start())

    async def ask(self, request: Mapping[str, Any]) -> Answer:
        """`{"content": …}` or `{"error": code, "hint": …}`."""
        async with self._places:
            self._busy += 1
            try:
                starting = await self._started()
                worker = starting.result()
                if worker is None:
                    return {"error": "data_unavailable", "hint": "The database cannot be opened at the moment."}
                return await self._answer(starting, worker, request)
            finally:
                self._busy -= 1

    async def _started(self) -> Starting:
        """A loaded child, taken from the ready ones."""
        while True:
            starting = self._ready.pop() if self._ready else self._start()
            try:
                worker = await asyncio.shield(starting)
            except asyncio.CancelledError:
                self._keep(starting)
                raise
            if worker is None or worker.is_alive:  # a worker that ended while idle did not fail because of this query
                return starting

    async def _answer(self, starting: Starting, worker: Worker, request: Mapping[str, Any]) -> Answer:
        is_sound = False
        try:
            answer = await worker.ask(request, self._seconds)
            is_sound = not answer.pop("spent", False)
        except TimeoutError:
            log("sql_worker_killed", seconds=self._seconds)
            hint = f"The query was ended after {self._seconds:g} s; read fewer rows, or aggregate them first."
            return {"error": "query_timeout", "hint": hint}
        except _WorkerDiedError:
            log("sql_worker_died")
            return {"error": "query_failed", "hint": "The query needed more than it may have; make it smaller."}
        else:
            return answer
        finally:  # also after a cancelled query: its late reply must not go to the next one
            if is_sound:
                self._keep(starting)
            else:
                self._retire(worker)
                self.start_ahead()

    def close(self) -> None:
        """Ends idle children now and the others after their queries; no new ones start."""
        self._is_closed = True
        for starting in self._ready:
            self._retire_when_started(starting)
        self._ready.clear()

    async def wait_closed(self) -> None:
        """Closes, and returns when every child has ended."""
        self.close()
        while self._ending:
            await asyncio.gather(*self._ending)

    def _start(self) -> Starting:
        return asyncio.create_task(Worker.start(self._path))

    def _keep(self, starting: Starting) -> None:
        if self._is_closed:
            self._retire_when_started(starting)
        else:
            self._ready.append(starting)

    def _retire(self, worker: Worker) -> None:
        worker.kill()
        self._end(asyncio.create_task(worker.end()))

    def _retire_when_started(self, starting: Starting) -> None:
        async def end() -> None:
            worker = await starting
            if worker is not None:
                await worker.end()

        self._end(asyncio.create_task(end()))

    def _end(self, task: asyncio.Task[None]) -> None:
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _Current:
    """The workers of the running event loop over the file as it is now; a file that was replaced gets new ones."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._workers: Workers | None = None

    def __call__(self, path: Path) -> Workers:
        seen = path.stat()
        key = (asyncio.get_running_loop(), path, seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_size)
        if self._workers is None or key != self._key:
            if self._workers is not None and self._key[0] is key[0]:
                self._workers.close()
            self._key, self._workers = key, Workers(path)
            at_close(self._workers.wait_closed)
        return self._workers


workers_over = _Current()
"""The running event loop's workers over an absolute path. Raises OSError when there is no such file."""


def _import_path() -> str:
    """Where this process finds its modules, for a child that starts elsewhere and without our environment."""
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
