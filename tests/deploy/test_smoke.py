"""The check of a deployment: what is well is said to be, and what is not is found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from deploy.build import ROOT
from deploy.smoke import Asked, verdicts
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack


def test_a_sound_deployment_passes(stack: Stack, alice: Person, model: Models) -> None:
    """Every check is made, in words that say what was seen; the exit code is zero."""
    urls = [stack[name] for name in ("REFRESH_URL", "CHAT_URL", "LLMS_URL")]
    options = ["--token", alice.token, "--origin", stack["CORS_ORIGINS"].split(",")[0]]
    options += ["--cron-secret", stack["CRON_SECRET"], "--model", model("fixed")]
    command = [sys.executable, "-m", "deploy.smoke", *urls, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout
    assert "skip" not in done.stdout
    assert {line.split()[1] for line in done.stdout.splitlines()[:-1]} == {"chat", "llms", "refresh"}


def test_what_was_not_given_is_skipped(stack: Stack) -> None:
    """And said so, instead of passing unseen."""
    found = {verdict.check: verdict for verdict in verdicts(stack["REFRESH_URL"], Asked())}
    assert {check for check, verdict in found.items() if verdict.passed is None} == {"CORS", "cron secret"}
    assert found["cron secret"].told == "no --cron-secret"


class _Careless(BaseHTTPRequestHandler):
    """A chat behind a platform that adds CORS of its own and buffers, over a database that is away."""

    def do_OPTIONS(self) -> None:
        self._say(204)

    def do_GET(self) -> None:
        self._say(503 if self.path == "/health/ready" else 200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if "Authorization" not in self.headers or "eyJ" in self.headers["Authorization"]:
            self._say(401, {"error": {"code": "invalid_token"}})
            return
        receipt = {"type": "data-receipt", "data": {"logged": True, "cost_usd": 0}}
        self._say(200, text=f"data: {json.dumps(receipt, separators=(',', ':'))}\n\n")

    def _say(self, status: int, body: Any = None, text: str = "") -> None:
        said = (text or json.dumps(body or {})).encode()
        self.send_response(status)
        for value in ("*", "https://app.example"):
            self.send_header("Access-Control-Allow-Origin", value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: Any) -> None:
        """Says nothing on stderr."""


@pytest.fixture
def careless() -> Iterator[str]:
    """Its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Careless) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


def test_an_unsound_deployment_is_found_out(careless: str) -> None:
    """Doubled CORS, an answer in one piece, a database that is away: each fails with what to look for."""
    asked = Asked(token="t", origin="https://app.example")
    found = {verdict.check: verdict for verdict in verdicts(careless, asked)}
    failed = {check: verdict.told for check, verdict in found.items() if verdict.passed is False}
    assert set(failed) == {"health", "request id", "CORS", "streaming and booking"}
    assert "/health/ready gives 503" in failed["health"]
    assert "switch off the platform's CORS" in failed["CORS"]
    assert "holds the answer back" in failed["streaming and booking"]


def test_a_url_where_nobody_is_fails() -> None:
    """One line, with the URL."""
    (verdict,) = verdicts("http://127.0.0.1:9", Asked())
    assert (verdict.passed, verdict.check) == (False, "http://127.0.0.1:9")
    assert "ConnectError" in str(verdict)
