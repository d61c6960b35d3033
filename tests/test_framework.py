"""functions-framework's own command, as its documentation gives it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from local.environment import ROOT
from tests.stack_process import clean_environ, free_ports, wait_until

pytestmark = pytest.mark.processes

_COMMAND = Path(sys.executable).with_name("functions-framework")


def _is_healthy(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    return False


@pytest.mark.parametrize(
    ("folder", "name"),
    [(".", "chat"), (".", "llms"), (".", "refresh"), (".", "assist"), ("functions/chat", "chat")],
    ids=["chat", "llms", "refresh", "assist", "chat in its folder"],
)
def test_the_plain_command_serves_a_function(tmp_path: Path, folder: str, name: str) -> None:
    """`functions-framework --target NAME` answers, in the project's root and in the function's folder."""
    port = free_ports()
    environ = {key: value for key, value in clean_environ().items() if key != "PYTHONPATH"}
    with (tmp_path / "console").open("wb") as console:
        process = subprocess.Popen(
            [_COMMAND, "--target", name, "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT / folder,
            env=environ,
            stdout=console,
            stderr=console,
        )
    try:
        wait_until(lambda: _is_healthy(port) or process.poll() is not None, 30)
        assert _is_healthy(port), (tmp_path / "console").read_text()
    finally:
        process.terminate()
        process.wait(20)


def test_a_process_imports_the_function_it_serves_only() -> None:
    """The root's main.py imports a function when it is asked for by name, and no other."""
    script = "import sys, main; main.llms; print(*sorted(m for m in sys.modules if m.endswith('.main')))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["functions.llms.main"]
