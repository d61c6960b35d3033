"""The check of a deployment: what is well is said to be, and what is not is found."""

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
from deploy.smoke import Asked, FailedError, SkippedError, check_cron, everything, flow, verdicts

_ORIGIN = "https://app.example"
_STRANGER = (401, {"error": {"code": "invalid_token"}})


def _said(pieces: int, spoken_ms: int) -> list[bytes]:
    """A stream of so many pieces whose receipt says how long the model spoke."""
    receipt = {"logged": True, "cost_usd": 0, "ttft_ms": 500, "duration_ms": 500 + spoken_ms}
    words = ['data: {"type":"text-delta"}\n\n'] * (pieces - 1)
    last = json.dumps({"type": "data-receipt", "data": receipt}, separators=(",", ":"))
    return [each.encode() for each in (*words, f"data: {last}\n\n")]


class _Platform(ThreadingHTTPServer):
    """Something on loopback that answers as it is told, by path and whether somebody signed; 404 to anything else."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.origins: dict[str, list[str]] = {"OPTIONS": [_ORIGIN], "GET": [_ORIGIN], "POST": [_ORIGIN]}
        self.strangers: tuple[int, Any] = _STRANGER
        self.answers: dict[str, tuple[int, Any]] = {
            "OPTIONS /": (200, {}),
            "GET /health": (200, {}),
            "GET /health/ready": (200, {}),
            "GET /": (404, {}),
        }
        self.is_endless = False
        self.hung_up = Event()


class _Answering(BaseHTTPRequestHandler):
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
        """Says nothing on stderr."""


@pytest.fixture
def platform() -> Iterator[_Platform]:
    """A chat that is well but for what a test changes."""
    with _Platform() as server:
        server.answers["POST /"] = (200, _said(22, spoken_ms=0))
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def _failed(platform: _Platform, **asked: Any) -> dict[str, str]:
    found = verdicts(platform.url, Asked(token="t", origin=_ORIGIN, **asked))
    return {verdict.check: verdict.told for verdict in found if verdict.passed is False}


def test_a_platform_that_does_no_harm_passes(platform: _Platform) -> None:
    """So that the next tests fail for what they change, and for nothing else."""
    assert _failed(platform) == {}


def test_an_unsound_deployment_is_found_out(platform: _Platform) -> None:
    """Doubled CORS, a database that is away: each fails with what to look for."""
    platform.origins = {method: ["*", _ORIGIN] for method in platform.origins}
    platform.answers["GET /health/ready"] = (503, {"error": {"code": "database_unavailable", "message": "Away."}})
    failed = _failed(platform)
    assert set(failed) == {"health", "CORS", "streaming and booking"}
    assert failed["health"].startswith(
        "GET /health/ready gives 503 database_unavailable: Away., not 200: check SUPABASE_URL"
    )
    assert "switch off the platform's CORS" in failed["CORS"]


@pytest.mark.parametrize("pieces", [1, 2, 22])
def test_an_answer_that_was_held_back_is_found_out(platform: _Platform, pieces: int) -> None:
    """In however many pieces it comes: a model that spoke for a minute was not heard for a minute."""
    platform.answers["POST /"] = (200, _said(pieces, spoken_ms=60_000))
    failed = _failed(platform)
    assert set(failed) == {"streaming and booking"}
    assert "holds the answer back" in failed["streaming and booking"]


@pytest.mark.parametrize(
    ("moments", "ttft_ms", "duration_ms", "outcome"),
    [
        ((0.5, 0.9, 1.4), 400, 1400, "ok"),
        ((9.0, 9.2, 9.3), 8900, 9200, "ok"),  # a cold start and a slow first word say nothing about the rest
        ((1.0, 1.0, 1.0), 100, 1000, "failed"),
        ((1.0, 1.1, 1.2), 100, 1000, "failed"),  # the last of some buffers on the way
        ((1.0,), 100, 1000, "failed"),
        ((0.05, 0.06), 40, 60, "skipped"),
        ((0.05, 0.06), None, 60, "skipped"),
    ],
)
def test_pieces_take_as_long_as_the_model_spoke(
    moments: tuple[float, ...], ttft_ms: int | None, duration_ms: int, outcome: str
) -> None:
    """Or at least half as long; of a model that took no time nothing can be told, and that is said."""
    receipt = {"ttft_ms": ttft_ms, "duration_ms": duration_ms}
    if outcome == "ok":
        assert flow(moments, receipt).startswith(f"{len(moments)} pieces over")
        return
    with pytest.raises(FailedError if outcome == "failed" else SkippedError, match=f"{len(moments)} pieces over"):
        flow(moments, receipt)


def test_cors_that_is_doubled_on_an_answer_alone_is_found_out(platform: _Platform) -> None:
    """A platform may leave preflights alone and add its own to what a page would read."""
    platform.origins["POST"] = [_ORIGIN, "*"]
    failed = _failed(platform)
    assert set(failed) == {"streaming and booking"}
    assert "POST / names" in failed["streaming and booking"]


def test_an_answer_without_an_end_ends_for_us(platform: _Platform) -> None:
    """Pings keep every silence short; the check is over all the same."""
    platform.is_endless = True
    failed = _failed(platform, seconds=1.0)
    assert failed["streaming and booking"].startswith("no end after 1 s")
    assert platform.hung_up.wait(20)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((401, {"message": "Unauthorized"}), 'every path gives 401 {"message": "Unauthorized"}'),
        (
            (503, {"error": {"code": "dependency_down", "message": "The secrets cannot be fetched right now."}}),
            "every path gives 503 dependency_down: The secrets cannot be fetched right now.",
        ),
        ((500, {"error": "Internal"}), 'every path gives 500 {"error": "Internal"}'),
    ],
)
def test_who_cannot_be_told_is_quoted(platform: _Platform, answer: tuple[int, Any], told: str) -> None:
    """A platform that refuses by itself, a function without its secrets: status and words as they came."""
    platform.strangers = platform.answers["GET /v1/models"] = answer
    (verdict,) = verdicts(platform.url, Asked())
    assert verdict.passed is False
    assert f"no function of Parley answers here: {told}: check the URL" in verdict.told


def _run(**steps: Any) -> dict[str, Any]:
    return {"steps": steps, "syncResults": {"errors": []}}


@pytest.mark.parametrize(
    ("status", "run", "told"),
    [
        (200, _run(spool={"ok": True}), None),
        (207, _run(spool={"ok": False, "error": "dependency_down"}), "spool (dependency_down)"),
        (207, _run() | {"syncResults": {"errors": [{"provider": "google", "message": "No key."}]}}, "google (No key.)"),
        (500, {"error": {"code": "not_configured", "message": "X is not set."}}, "500 not_configured: X is not set."),
    ],
)
def test_a_dry_refresh_in_which_something_failed_is_not_well(
    platform: _Platform, status: int, run: dict[str, Any], told: str | None
) -> None:
    """A step's failure or a provider's, with its reason."""
    platform.answers["POST /"] = (status, run)
    with httpx.Client(base_url=platform.url) as client:
        if told is None:
            assert check_cron(client, Asked(cron_secret="s", origin=_ORIGIN)) == f"dry run {status}"
            return
        with pytest.raises(FailedError, match=re.escape(told)):
            check_cron(client, Asked(cron_secret="s", origin=_ORIGIN))


@pytest.mark.parametrize(("url", "code", "words"), [("http://127.0.0.1:9", 1, "1 failed"), ("127.0.0.1:9", 2, "")])
def test_the_exit_code_is_for_scripts(url: str, code: int, words: str) -> None:
    """1 when a check failed, 2 when the command itself is wrong."""
    command = [sys.executable, "-m", "deploy.smoke", url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.rpartition("\n")[0].rpartition("\n")[2]) == (code, words)


def test_an_answer_of_another_shape_is_a_verdict(platform: _Platform) -> None:
    """One line with what to do, and the other checks go on."""
    platform.answers["POST /"] = (200, [b'data: {"type":"data-receipt","data":["x"]}\n\n'])
    failed = _failed(platform)
    assert set(failed) == {"streaming and booking"}
    assert failed["streaming and booking"].startswith("an answer of another shape (TypeError")


def test_two_urls_of_one_function_are_found_out(platform: _Platform) -> None:
    """The other two are named as not checked."""
    found = list(everything([platform.url, platform.url], Asked()))
    (failed,) = [verdict for verdict in found if verdict.passed is False]
    assert (failed.function, failed.check) == ("chat", "one URL each")
    assert {verdict.function for verdict in found if verdict.check == "everything"} == {"llms", "refresh"}


def test_a_url_where_nobody_is_fails() -> None:
    """One line, with the URL."""
    (verdict,) = verdicts("http://127.0.0.1:9", Asked())
    assert (verdict.passed, verdict.check) == (False, "http://127.0.0.1:9")
    assert "ConnectError" in str(verdict)
