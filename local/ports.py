"""The ports of the parts, and the process that holds a taken port."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.errors import StackError

HOST = "127.0.0.1"
_LISTENING = "0A"  # the state column of /proc/net/tcp


@dataclass(frozen=True, slots=True)
class Ports:
    """The port of each part; the defaults are those of `supabase start` and the documentation."""

    page: int = 8080
    chat: int = 8081
    llms: int = 8082
    refresh: int = 8083
    assist: int = 8084
    api: int = 54321
    database: int = 54322
    model: int = 54323

    @classmethod
    def counted_from(cls, base: int) -> Ports:
        """The page at `base` and the others at fixed offsets. Raises StackError for an invalid port."""
        if not 1024 <= base <= 65_500:
            raise StackError(f"--ports {base} is out of range: choose a number between 1024 and 65500")
        return cls(base, base + 1, base + 2, base + 3, base + 4, base + 10, base + 11, base + 12)

    def url(self, part: str) -> str:
        """`http://127.0.0.1:<port of the part>`."""
        return f"http://{HOST}:{self.of(part)}"

    def of(self, part: str) -> int:
        """The port of a part. Raises StackError for a part without one."""
        port: int | None = getattr(self, part, None)
        if port is None:
            raise StackError(f"{part} has no port yet: give it one in local/ports.py")
        return port


def is_taken(port: int) -> bool:
    """Whether another program holds the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def occupant(port: int) -> str:
    """`process 4711 (node)`, or a command that finds the process where /proc does not help."""
    inodes = set(_listening_inodes(port))
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):  # the process has ended or belongs to another user
            if any(str(link.readlink()) in inodes for link in folder.iterdir()):
                name = (folder.parent / "comm").read_text().strip()
                return f"process {folder.parent.name} ({name})"
    return f"an unknown process (ask `lsof -i :{port}`)"


def _listening_inodes(port: int) -> Iterator[str]:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == _LISTENING and int(local.rpartition(":")[2], 16) == port:
                yield f"socket:[{rest[5]}]"
