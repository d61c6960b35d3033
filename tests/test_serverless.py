"""serverless.yml, as osls resolves it without an account."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    """The resolved service."""
    done = subprocess.run(
        ["npx", "--no-install", "osls", "print", "--format", "json"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    printed: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return printed


def test_every_function_has_a_url_of_its_own(service: dict[str, Any]) -> None:
    """The functions that exist are the ones deployed, each as its own target with its own URL."""
    present = {path.parent.name for path in (ROOT / "functions").glob("*/main.py")}
    assert set(service["functions"]) == present
    for name, function in service["functions"].items():
        assert function["environment"]["FUNCTION_TARGET"] == name
        assert function["url"]


def test_only_chat_streams(service: dict[str, Any]) -> None:
    """The URL's mode and the adapter's agree, and only chat's is streaming."""
    modes = {
        name: (isinstance(f["url"], dict), f["environment"].get("AWS_LWA_INVOKE_MODE"))
        for name, f in service["functions"].items()
    }
    assert modes.pop("chat") == (True, "response_stream")
    assert set(modes.values()) == {(False, None)}


def test_no_secret_stands_in_the_template(service: dict[str, Any]) -> None:
    """Secrets are named by path; no variable that looks like one has a value."""
    environments = [service["provider"]["environment"], *(f["environment"] for f in service["functions"].values())]
    names = {name for environment in environments for name in environment}
    assert not [name for name in names if name.endswith(("_KEY", "_TOKEN", "_SECRET"))]
    assert service["provider"]["environment"]["SECRETS_SOURCE"].startswith("ssm:/")
