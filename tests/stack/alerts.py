"""Alerts of tests: a webhook that may be down, and recoveries."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.stack.people import Stack, service


class Webhook(ThreadingHTTPServer):
    """Refuses everything until `is_up`; `texts` is what it took."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.is_up = False
        self.refused = 0
        self.texts: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/secret"


class _Taking(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
        if self.server.is_up:
            self.server.texts.append(text)
        self.server.refused += not self.server.is_up
        self.send_response(200 if self.server.is_up else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing on the console."""


def recover(stack: Stack, **limits: Any) -> int:
    """How many alerts have ended, which rows of their own record."""
    answer = service(stack, "POST", "rpc/recover_alerts", json={"error_percent": 20, "refresh_hours": 26} | limits)
    assert answer.status_code == 200, answer.text
    recovered: int = answer.json()
    return recovered
