"""The smoke test of a deployment: a healthy platform passes, and each fault fails its check."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import httpx
import pytest

from deploy.build import ROOT
from deploy.smoke.checks import check_cron, check_flow
from deploy.smoke.run import check_all, check_url
from deploy.smoke.values import FailedError, SkippedError, SmokeOptions

_ORIGIN = "https://app.example"
_UNAUTHENTICATED = (401, {"error": {"code": "invalid_token"}})


def _stream(pieces: int, stream_ms: int) -> list[bytes]:
    """A stream of this many pieces; its receipt says how long the model streamed."""
    receipt = {"logged": True, "cost_usd": 0, "ttft_ms": 500, "duration_ms": 500 + stream_ms}
    deltas = ['data: {"type":"text-delta"}\n\n'] * (pieces - 1)
    last = json.dumps({"type": "data-receipt", "data": receipt}, separators=(",", ":"))
    return [each.encode() for each in (*deltas, f"data: {last}\n\n")]


class _Platform(ThreadingHTTPServer):
    """A server on loopback with scripted responses by path and by whether a token is valid; 404 for other paths."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _PlatformHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.origins: dict[str, list[str]] = {"OPTIONS": [_ORIGIN], "GET": [_ORIGIN], "POST": [_ORIGIN]}
        self.strangers: tuple[int, Any] = _UNAUTHENTICATED
        self.answers: dict[str, tuple[int, Any]] = {
            "OPTIONS /": (200, {}),
            "GET /health": (200, {}),
            "GET /health/ready": (200, {}),
            "GET /": (404, {}),
        }
        self.is_endless = False
        self.hung_up = Event()


class _PlatformHandler(BaseHTTPRequestHandler):
    server: _Platform
    protocol_version = "HTTP/1.1"

    def do_OPTIONS(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_strange = "authorization" not in self.headers or "eyJ" in self.headers["authorization"]
        status, body = self.server.answers.get(f"{self.command} {self.path}", (404, {}))
        if self.command == "POST" and is_strange:
            status, body = self.server.strangers
        pieces = body if isinstance(body, list) else [json.dumps(body).encode()]
        self.send_response(status)
        if self.headers.get("origin") != "https://stranger.example":
            for value in self.server.origins[self.command]:
                self.send_header("Access-Control-Allow-Origin", value)
        if "x-request-id" in self.headers:
            self.send_header("X-Request-Id", self.headers["x-request-id"])
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self._write(piece)
        while isinstance(body, list) and self.server.is_endless:
            try:
                self._write(b": ping\n\n")
            except OSError:
                self.server.hung_up.set()
                return
        self._write(b"")

    def _write(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Writes nothing to stderr."""


@pytest.fixture
def platform() -> Iterator[_Platform]:
    """A healthy chat; tests change parts of it."""
    with _Platform() as server:
        server.answers["POST /"] = (200, _stream(22, stream_ms=0))
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def _failed(platform: _Platform, **options: Any) -> dict[str, str]:
    found = check_url(platform.url, SmokeOptions(token="t", origin=_ORIGIN, **options))
    return {verdict.check: verdict.detail for verdict in found if verdict.passed is False}


def test_a_healthy_platform_passes(platform: _Platform) -> None:
    """No check fails, so the other tests fail only for what they change."""
    assert _failed(platform) == {}


def test_a_faulty_deployment_fails(platform: _Platform) -> None:
    """Duplicate CORS headers and an unreachable database fail, each with advice."""
    platform.origins = {method: ["*", _ORIGIN] for method in platform.origins}
    platform.answers["GET /health/ready"] = (503, {"error": {"code": "database_unavailable", "message": "Away."}})
    failed = _failed(platform)
    assert set(failed) == {"health", "CORS", "streaming and booking"}
    assert failed["health"].startswith(
        "GET /health/ready gives 503 database_unavailable: Away., not 200: check SUPABASE_URL"
    )
    assert "switch off the platform's CORS" in failed["CORS"]


@pytest.mark.parametrize("pieces", [1, 2, 22])
def test_a_buffered_answer_fails(platform: _Platform, pieces: int) -> None:
    """The number of pieces does not matter: they arrive at once although the model streamed for a minute."""
    platform.answers["POST /"] = (200, _stream(pieces, stream_ms=60_000))
    failed = _failed(platform)
    assert set(failed) == {"streaming and booking"}
    assert "buffers the answer" in failed["streaming and booking"]


@pytest.mark.parametrize(
    ("moments", "ttft_ms", "duration_ms", "outcome"),
    [
        ((0.5, 0.9, 1.4), 400, 1400, "ok"),
        ((9.0, 9.2, 9.3), 8900, 9200, "ok"),  # a cold start and a slow first token do not count
        ((1.0, 1.0, 1.0), 100, 1000, "failed"),
        ((1.0, 1.1, 1.2), 100, 1000, "failed"),  # the platform flushes its buffers at the end
        ((1.0,), 100, 1000, "failed"),
        ((0.05, 0.06), 40, 60, "skipped"),
        ((0.05, 0.06), None, 60, "skipped"),
    ],
)
def test_pieces_must_take_half_of_the_models_time(
    moments: tuple[float, ...], ttft_ms: int | None, duration_ms: int, outcome: str
) -> None:
    """A shorter arrival fails; a model that is too quick to measure is skipped."""
    receipt = {"ttft_ms": ttft_ms, "duration_ms": duration_ms}
    if outcome == "ok":
        assert check_flow(moments, receipt).startswith(f"{len(moments)} pieces over")
        return
    with pytest.raises(FailedError if outcome == "failed" else SkippedError, match=f"{len(moments)} pieces over"):
        check_flow(moments, receipt)


def test_a_duplicate_cors_header_on_a_response_fails(platform: _Platform) -> None:
    """The check reads the header of the response, not only that of the preflight."""
    platform.origins["POST"] = [_ORIGIN, "*"]
    failed = _failed(platform)
    assert set(failed) == {"streaming and booking"}
    assert "POST / names" in failed["streaming and booking"]


def test_an_endless_answer_times_out(platform: _Platform) -> None:
    """Pings reset the read timeout of the client; the time limit of the check still ends it."""
    platform.is_endless = True
    failed = _failed(platform, seconds=1.0)
    assert failed["streaming and booking"].startswith("no end after 1 s")
    assert platform.hung_up.wait(20)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((401, {"message": "Unauthorized"}), 'every path gives 401 {"message": "Unauthorized"}'),
        (
            (503, {"error": {"code": "dependency_down", "message": "The secrets cannot be fetched right now."}}),
            "every path gives 503 dependency_down: The secrets cannot be fetched right now.",
        ),
        ((500, {"error": "Internal"}), 'every path gives 500 {"error": "Internal"}'),
    ],
)
def test_an_unknown_server_is_quoted(platform: _Platform, answer: tuple[int, Any], expected: str) -> None:
    """The verdict quotes the status and the body of a server that is no function of Parley."""
    platform.strangers = platform.answers["GET /v1/models"] = answer
    (verdict,) = check_url(platform.url, SmokeOptions())
    assert verdict.passed is False
    assert f"no function of Parley answers here: {expected}: check the URL" in verdict.detail


def _run(**steps: Any) -> dict[str, Any]:
    return {"steps": steps, "syncResults": {"errors": []}}


@pytest.mark.parametrize(
    ("status", "run", "expected"),
    [
        (200, _run(spool={"ok": True}), None),
        (207, _run(spool={"ok": False, "error": "dependency_down"}), "spool (dependency_down)"),
        (207, _run() | {"syncResults": {"errors": [{"provider": "google", "message": "No key."}]}}, "google (No key.)"),
        (500, {"error": {"code": "not_configured", "message": "X is not set."}}, "500 not_configured: X is not set."),
    ],
)
def test_a_dry_refresh_with_a_failed_step_fails(
    platform: _Platform, status: int, run: dict[str, Any], expected: str | None
) -> None:
    """The verdict names the failed step or provider and the reason."""
    platform.answers["POST /"] = (status, run)
    with httpx.Client(base_url=platform.url) as client:
        if expected is None:
            assert check_cron(client, SmokeOptions(cron_secret="s", origin=_ORIGIN)) == f"dry run {status}"
            return
        with pytest.raises(FailedError, match=re.escape(expected)):
            check_cron(client, SmokeOptions(cron_secret="s", origin=_ORIGIN))


@pytest.mark.parametrize(("url", "code", "last_line"), [("http://127.0.0.1:9", 1, "1 failed"), ("127.0.0.1:9", 2, "")])
def test_the_exit_code_shows_the_result(url: str, code: int, last_line: str) -> None:
    """The exit code is 1 when a check failed and 2 for wrong usage."""
    command = [sys.executable, "-m", "deploy.smoke", url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.rpartition("\n")[0].rpartition("\n")[2]) == (code, last_line)


def test_an_unexpected_response_is_a_failed_check(platform: _Platform) -> None:
    """The verdict is one line with advice, and the other checks go on."""
    platform.answers["POST /"] = (200, [b'data: {"type":"data-receipt","data":["x"]}\n\n'])
    failed = _failed(platform)
    assert set(failed) == {"streaming and booking"}
    assert failed["streaming and booking"].startswith("an unexpected response (TypeError")


def test_two_urls_of_one_function_fail(platform: _Platform) -> None:
    """The other functions are skipped."""
    found = list(check_all([platform.url, platform.url], SmokeOptions()))
    (failed,) = [verdict for verdict in found if verdict.passed is False]
    assert (failed.function, failed.check) == ("chat", "one URL each")
    assert {verdict.function for verdict in found if verdict.check == "everything"} == {"llms", "refresh", "assist"}


def test_a_url_without_a_server_fails() -> None:
    """The verdict is one line with the URL."""
    (verdict,) = check_url("http://127.0.0.1:9", SmokeOptions())
    assert (verdict.passed, verdict.check) == (False, "http://127.0.0.1:9")
    assert "ConnectError" in str(verdict)
