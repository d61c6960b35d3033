"""The types and the pure parts of the page, and the size of what a browser loads."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.web.scene import WEB

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not (WEB / "node_modules").exists(), reason="`make setup` installs the npm packages of web/"),
]
_MAX_SCRIPT_BYTES = 250_000


def _run(*words: str) -> None:
    command = [str(WEB / "node_modules" / ".bin" / words[0]), *words[1:]]
    env = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=WEB, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_type_checks() -> None:
    """TypeScript finds no error in strict mode, in the page and in its tests."""
    _run("tsc", "--noEmit")


def test_the_pure_parts_of_the_page_work() -> None:
    """Texts, figures, sums, errors and exports have the documented results."""
    _run("vitest", "run")


def test_the_scripts_stay_small(tmp_path: Path) -> None:
    """What signing in, choosing a model and asking need is under 250 KB compressed; charts and Markdown come later."""
    _run("vite", "build", "--outDir", str(tmp_path), "--logLevel", "warn")
    manifest = json.loads((tmp_path / ".vite" / "manifest.json").read_text())
    entry = next(name for name, chunk in manifest.items() if chunk.get("isEntry"))
    files = _scripts(manifest, entry) | _scripts(manifest, "src/chat/ModelChoices.tsx")
    assert sum(len(gzip.compress((tmp_path / name).read_bytes())) for name in files) < _MAX_SCRIPT_BYTES


def _scripts(manifest: Mapping[str, Mapping[str, Any]], name: str) -> set[str]:
    """The file of a module and of all modules that it imports at once."""
    chunk = manifest[name]
    return {chunk["file"]}.union(*(_scripts(manifest, each) for each in chunk.get("imports", [])))


def test_the_lock_of_the_page_names_no_registry() -> None:
    """`npm install` takes the packages from the registry of the user."""
    lock = json.loads((WEB / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
