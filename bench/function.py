"""Starts a function, or a bare hello for comparison, in its own process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from local.environment import ROOT
from tests.stack_process import free_ports

HELLO = """
import functions_framework.aio
@functions_framework.aio.http
async def hello(request):
    return "hello"
"""


@contextmanager
def running(name: str, stack: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """The URL and process id of a ready function; the name `hello` gives a bare functions-framework one."""
    with tempfile.TemporaryDirectory() as folder:
        source = f"functions/{name}/main.py"
        if name == "hello":
            source = str(Path(folder) / "main.py")
            Path(source).write_text(HELLO)
        port = free_ports()
        environ = {**os.environ, **stack, "FUNCTION_TARGET": name, "FUNCTION_SOURCE": source, "PYTHONPATH": str(ROOT)}
        options = ["--port", str(port), "--lifespan", "on", "--log-level", "error", "--no-access-log"]
        command = [sys.executable, "-m", "uvicorn", "functions_framework.aio:app", *options]
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)
        try:
            yield _ready(f"http://127.0.0.1:{port}"), process.pid
        finally:
            process.kill()
            process.wait()


def _ready(url: str) -> str:
    deadline = time.perf_counter() + 30
    while time.perf_counter() < deadline:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return url
        except httpx.TransportError:
            time.sleep(0.01)
    raise SystemExit(f"{url} did not answer")
