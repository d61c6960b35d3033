"""Time from the start of a function's process to its first response, beside a bare functions-framework hello."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from bench.function import HELLO
from local.environment import ROOT
from local.users import access_token
from tests.stack_process import free_ports

_ROUNDS = 5


def measure(stack: Mapping[str, str]) -> None:
    """Prints the median of a few starts for each function; the first, unmeasured start writes the bytecode."""
    token = access_token(stack["SUPABASE_URL"], stack["SUPABASE_SERVICE_KEY"], "bench@parley.local")
    print(f"cold start to the first 200, median of {_ROUNDS}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "main.py"
        source.write_text(HELLO)
        hello = _median("hello", str(source), "/", {}, stack)
    print(f"  bare functions-framework hello   {hello:6.0f} ms")
    for name, path in (("llms", "/"), ("llms", "/health"), ("chat", "/health"), ("refresh", "/health")):
        headers = {"Authorization": f"Bearer {token}"} if path == "/" else {}
        took = _median(name, f"functions/{name}/main.py", path, headers, stack)
        aim = "   (aim: under 1000)" if name == "llms" else ""
        print(f"  {name:8s} GET {path:20s} {took:6.0f} ms   {took / hello:.2f} x hello{aim}")


def _median(name: str, source: str, path: str, headers: Mapping[str, str], stack: Mapping[str, str]) -> float:
    times = [_start(name, source, path, headers, stack) for _ in range(_ROUNDS + 1)]
    return statistics.median(times[1:])


def _start(name: str, source: str, path: str, headers: Mapping[str, str], stack: Mapping[str, str]) -> float:
    port = free_ports()
    environ = {**os.environ, **stack, "FUNCTION_TARGET": name, "FUNCTION_SOURCE": source, "PYTHONPATH": str(ROOT)}
    environ["PYTHONDONTWRITEBYTECODE"] = ""
    command = [sys.executable, "-m", "uvicorn", "functions_framework.aio:app", "--port", str(port), "--lifespan", "on"]
    started = time.perf_counter()
    process = subprocess.Popen([*command, "--log-level", "error"], cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)
    try:
        return _first_response(f"http://127.0.0.1:{port}{path}", headers, started)
    finally:
        process.kill()
        process.wait()


def _first_response(url: str, headers: Mapping[str, str], started: float) -> float:
    while time.perf_counter() - started < 30:
        try:
            answer = httpx.get(url, headers=dict(headers), timeout=10)
        except httpx.TransportError:
            time.sleep(0.002)
            continue
        if answer.status_code == 200:
            return (time.perf_counter() - started) * 1000
        raise SystemExit(f"{url} answered {answer.status_code}: {answer.text[:200]}")
    raise SystemExit(f"{url} did not answer")
