"""A TCP proxy that can be cut and restored, as a network can."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit


class Line(socketserver.ThreadingTCPServer):
    """Carries bytes between its own port and the server at `url`, both ways, for as long as it is not cut.

    `address` is `url` with this port. `loses_answers` keeps back what the server sends.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        parts = urlsplit(url)
        self.far_end = (str(parts.hostname), parts.port or 80)
        near = f"127.0.0.1:{self.server_address[1]}"
        self.url = f"http://{near}"
        user = parts.netloc.rpartition("@")[0]
        self.address = parts._replace(netloc=f"{user}@{near}" if user else near).geturl()
        self.is_cut = False
        self.loses_answers = False
        self.ends: set[socket.socket] = set()

    def cut(self) -> None:
        """Ends every connection; new ones are ended at once."""
        self.is_cut = True
        self.drop()

    def drop(self) -> None:
        """Ends every connection, as a pooler does with idle ones."""
        for end in list(self.ends):
            _shut(end, socket.SHUT_RDWR)

    def restore(self) -> None:
        """Carries new connections again, with the server's answers."""
        self.is_cut = self.loses_answers = False


class _Relay(socketserver.BaseRequestHandler):
    server: Line

    def handle(self) -> None:
        if self.server.is_cut:
            return
        near: socket.socket = self.request
        with contextlib.suppress(OSError), socket.create_connection(self.server.far_end) as far:
            self.server.ends |= {near, far}
            back = threading.Thread(target=_carry, args=(far, near, self.server), daemon=True)
            back.start()
            _carry(near, far)
            back.join()
            self.server.ends -= {near, far}


def _carry(source: socket.socket, sink: socket.socket, line: Line | None = None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if line is None or not line.loses_answers:
                sink.sendall(data)
    _shut(sink, socket.SHUT_WR)


def _shut(end: socket.socket, how: Any) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(how)


@contextlib.contextmanager
def line_to(url: str) -> Iterator[Line]:
    """The running line."""
    with Line(url) as line:
        thread = threading.Thread(target=line.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield line
        finally:
            line.cut()
            line.shutdown()
            thread.join(10)
