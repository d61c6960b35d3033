"""A Cloud Run folder, started by functions-framework as Google's buildpack starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploy.build import build_cloud_run, functions
from tests.deploy.conftest import PYTHON
from tests.stack.people import Person, Stack
from tests.stack_process import free_ports, wait_until

_PATHS = {"chat": ("POST", "/"), "llms": ("GET", "/"), "refresh": ("POST", "/"), "assist": ("GET", "/presets")}


def _installed(requirements: Path, target: Path) -> Path:
    """A folder with only the packages of the function's own lock, as the buildpack installs them."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python-version", PYTHON, "--no-deps"]
    command += ["--target", str(target), "--require-hashes", "--only-binary", ":all:", "-r", str(requirements)]
    subprocess.run(command, check=True, timeout=300)
    return target


@pytest.mark.parametrize("name", functions())
def test_a_cloud_run_folder_starts_and_answers(
    name: str, stack: Stack, alice: Person, bare_python: Path, tmp_path: Path
) -> None:
    """With only its locked packages it is healthy, reaches the database and requires a sign-in."""
    folder = build_cloud_run(name, tmp_path / "staged")
    port = free_ports()
    installed = _installed(folder / "requirements.txt", tmp_path / "installed")
    environ = os.environ | {"PYTHONPATH": str(installed)}
    with (tmp_path / "console").open("wb") as console:
        process = subprocess.Popen(
            [bare_python, "-m", "functions_framework", "--target", name, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=environ | stack.env,
            stdout=console,
            stderr=console,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        assert wait_until(lambda: _answers(url), 30), (tmp_path / "console").read_text()
        assert httpx.get(f"{url}/health/ready").status_code == 200
        method, path = _PATHS[name]
        assert httpx.request(method, url + path).status_code == 401
        if name == "llms":
            assert httpx.get(url, headers=alice.headers).json()["count"] > 0
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False
