"""A model on loopback that sends its first piece at once and the rest when a test releases it."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from typing import Any

from tests.fakes.openai import chunk, sse


class Pausing(http.server.ThreadingHTTPServer):
    """Its `url` is a model server's base address; 10 tokens in, 5 out."""

    daemon_threads = True

    def __init__(self, first: str, rest: str) -> None:
        super().__init__(("127.0.0.1", 0), _Speaking)
        self.first, self.rest = first, rest
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.may_go_on = threading.Event()


class _Speaking(http.server.BaseHTTPRequestHandler):
    server: Pausing

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(sse(chunk({"content": self.server.first})))
        self.wfile.flush()
        assert self.server.may_go_on.wait(20)
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        rest = (chunk({"content": self.server.rest}), chunk({}, "stop"), {"choices": [], "usage": usage}, "[DONE]")
        self.wfile.write(sse(*rest))

    def log_message(self, *_: Any) -> None:
        """Says nothing on stderr."""


@contextlib.contextmanager
def serving_pausing(first: str, rest: str) -> Iterator[Pausing]:
    """That model, running."""
    with Pausing(first, rest) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.may_go_on.set()
        server.shutdown()
        thread.join(10)
