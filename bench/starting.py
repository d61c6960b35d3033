"""Starts a program and measures the time to its first answer."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator

from bench import processes
from bench.targets import Target, get
from bench.upstream import MARK, Script

_READY_SECONDS = 90.0
_PROBE = Script(0, 16, 0)


class Unmeasured(Exception):
    """A target did not start or did not answer; the text has the end of its output."""


@contextlib.contextmanager
def started(target: Target, cores: Collection[int]) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """The target's process on these cores, and the milliseconds to its first answer. It has ended afterwards.

    Raises Unmeasured.
    """
    request = target.requests(_PROBE, stream=True)[0] if target.has_tokens else get(target.path)
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            target.command, cwd=target.folder, env=dict(target.environ), stdout=log, stderr=subprocess.STDOUT
        )
        processes.pin([process.pid], cores)
        try:
            answered = _first_answer(target, request, process)
            if answered is None:
                log.seek(0)
                raise Unmeasured(f"{target.name} did not answer: {log.read()[-2000:].decode(errors='replace')}")
            yield process, (answered - begin) * 1000
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _first_answer(target: Target, request: bytes, process: subprocess.Popen[bytes]) -> float | None:
    """When the first 200 with a token came, or with any body from a target without one; None if none came."""
    request = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    deadline = time.perf_counter() + _READY_SECONDS
    while time.perf_counter() < deadline and process.poll() is None:
        received = b""
        with (
            contextlib.suppress(OSError),  # it does not listen yet
            socket.create_connection(("127.0.0.1", target.port), timeout=20) as line,
        ):
            line.sendall(request)
            while piece := line.recv(65536):
                received += piece
                body = received.partition(b"\r\n\r\n")[2]
                if received[9:12] == b"200" and (MARK in body or (body and not target.has_tokens)):
                    return time.perf_counter()
        time.sleep(0.003)
    return None
