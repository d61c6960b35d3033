"""The process that owns DuckDB: `python -m shared.sql.child FILE`. A JSON line in, a JSON line out.

It starts without environment variables and limits its own rights. It ends with its parent: the end of standard input
ends it, even during a query.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import resource
import signal
import sys
import threading
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from shared.sql.session import Session

_ADDRESS_SPACE = 512 * 2**20  # DuckDB with two threads takes 190 MB of it before the first query
_WARM_UP = {"operation": "query", "sql": "select 1.5, now(), 'a' like 'b'"}


def main(path: Path) -> None:
    """Never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent, which lets a turn end
    output = _own_output()
    try:
        session = Session(path)
        session.answer(_WARM_UP)  # DuckDB loads parts with the first query
    except Exception as error:  # noqa: BLE001 - the parent gets every error as a reply
        _say(output, {"error": type(error).__name__})
        os._exit(1)
    _confine()
    _say(output, {"ready": True})
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, lines), daemon=True).start()
    while True:
        request = json.loads(lines.get())
        _allow_cpu(request["seconds"])
        answer = session.answer(request)
        _say(output, answer)
        if answer.get("spent"):
            os._exit(0)


def _own_output() -> BinaryIO:
    """Standard output for replies only; any other output is dropped."""
    own = os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return own


def _say(output: BinaryIO, answer: dict[str, Any]) -> None:
    left = memoryview(json.dumps(answer).encode() + b"\n")
    while left:
        left = left[output.write(left) :]


def _confine() -> None:
    """Limits memory, and from here on forbids opening files or sockets, writing and core dumps."""
    _lower(resource.RLIMIT_AS, _ADDRESS_SPACE)
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        _lower(kind, 0)


def _lower(kind: int, most: int) -> None:
    with contextlib.suppress(OSError, ValueError):  # macOS has no limit of the address space
        resource.setrlimit(kind, (most, most))


def _allow_cpu(seconds: float) -> None:
    """Limits the CPU time of both threads. The parent's timer is earlier; this is for a child without a parent."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(used.ru_utime + used.ru_stime + 2 * seconds + 1)
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _listen(source: BufferedReader, lines: queue.SimpleQueue[bytes]) -> None:
    for line in source:
        lines.put(line)
    os._exit(0)  # the parent is gone


if __name__ == "__main__":
    main(Path(sys.argv[1]))
