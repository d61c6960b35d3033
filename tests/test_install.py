"""Installing the lock with the oldest supported pip, while an index has newer releases."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.build import ROOT, find_python
from deploy.closure import unmet
from local import disk, install
from local.errors import StackError
from tests.wheels import build_index, index_environ, lock_lines

pytestmark = pytest.mark.processes

# Python 3.11 brings pip 23.x, which resolves extras although everything is pinned.
OLDEST = find_python("3.11") or sys.executable
LOCKS = sorted([ROOT / "requirements.txt", *ROOT.glob("functions/*/requirements.txt")])
_FUNCTIONS = ("chat", "llms", "refresh", "assist")
# What Google's buildpack passes to pip beside the file, read 2026-11-28 in pkg/python/python.go; --user needs no venv.
_BUILDPACK = (
    "--upgrade",
    "--upgrade-strategy",
    "only-if-needed",
    "--force-reinstall",
    "--no-compile",
    "--no-cache-dir",
)


def _project(folder: Path, index: Path) -> Path:
    """A project with our Makefile and installer, and a lock of tiny packages without extras."""
    shutil.copytree(ROOT / "local", folder / "local", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "package.json", "package-lock.json"):
        shutil.copy(ROOT / name, folder / name)
    for name in _FUNCTIONS:
        (folder / "functions" / name).mkdir(parents=True)
        (folder / "functions" / name / "requirements.in").write_text("spring\n")
        (folder / "functions" / name / "requirements.txt").write_text(lock_lines(index, "river", "silt", "spring"))
    (folder / "requirements.in").write_text("spring\nuv\n")
    (folder / "requirements.txt").write_text(lock_lines(index, "river", "silt", "spring", "uv"))
    (folder / "local" / "weights.in").write_text("weights\n")
    (folder / "local" / "weights.txt").write_text(lock_lines(index, "weights"))
    return folder


def _make(
    project: Path, *words: str, python: str = OLDEST, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [shutil.which("make") or "make", *words, f"PYTHON={python}"]
    return subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, timeout=120, check=False)


def _installed(project: Path) -> set[str]:
    found = (project / ".venv").glob("lib/python3.*/site-packages/*.dist-info")
    return {path.name.removesuffix(".dist-info") for path in found} - {"uv-1.0"}


@pytest.mark.parametrize("has_uv", [True, False], ids=["uv", "pip"])
def test_the_lock_is_installed_exactly(tmp_path: Path, *, has_uv: bool) -> None:
    """Newer releases and extras are not installed, with uv or with pip; a second run changes nothing."""
    index = build_index(tmp_path / "index", has_uv=has_uv)
    project = _project(tmp_path, index)
    environ = index_environ(index)
    if not has_uv:
        project.joinpath("requirements.txt").write_text(lock_lines(index, "river", "silt", "spring") + _unusable_uv())
    done = _make(project, ".venv/.installed", environ=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"spring-1.0", "river-1.0", "silt-1.0", "weights-1.0"} <= _installed(project)
    assert ("pip installs the same files" in done.stdout) is not has_uv
    assert "up to date" in _make(project, ".venv/.installed", environ=environ).stdout


def _unusable_uv() -> str:
    """A locked uv for another platform only; pip skips the line when it installs the rest."""
    return f'uv==1.0 ; sys_platform == "win32" \\\n    --hash=sha256:{"0" * 64}\n'


def test_locking_keeps_extras_and_a_plain_pip_installs_the_lock(tmp_path: Path) -> None:
    """A host that runs `pip install -r` gets the locked releases; a second lock upgrades nothing."""
    index = build_index(tmp_path / "index")
    project = _project(tmp_path, index)
    environ = index_environ(index)
    done = _make(project, "lock", environ=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    lock = project / "functions" / "chat" / "requirements.txt"
    assert re.findall(r"^\S+==\S+", lock.read_text(), re.MULTILINE) == ["river[delta]==1.0", "silt==1.0", "spring==1.0"]
    host = tmp_path / "host"
    subprocess.run([OLDEST, "-m", "venv", host], check=True)
    command: list[str | Path] = [host / "bin" / "python", "-m", "pip", "install", "--requirement", lock, *_BUILDPACK]
    plain = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert plain.returncode == 0, plain.stdout + plain.stderr
    assert "Successfully installed river-1.0 silt-1.0 spring-1.0" in plain.stdout


def test_a_failed_installation_leaves_no_stamp(tmp_path: Path) -> None:
    """After a failure an environment that was complete before does not count as complete."""
    index = build_index(tmp_path / "index")
    project = _project(tmp_path, index)
    stamp = project / ".venv" / ".installed"
    environ = index_environ(index)
    assert _make(project, ".venv/.installed", environ=environ).returncode == 0
    (project / "requirements.txt").write_text(lock_lines(index, "silt", "spring", "uv"))
    incomplete = _make(project, ".venv/.installed", environ=environ)
    assert incomplete.returncode != 0
    assert "missing or conflict" in incomplete.stderr
    assert "river" in incomplete.stderr
    assert not stamp.exists()


def test_an_environment_without_its_python_is_made_again(tmp_path: Path) -> None:
    """The stamp of an environment is invalid without its interpreter."""
    index = build_index(tmp_path / "index")
    project = _project(tmp_path, index)
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to(tmp_path / "gone")
    (project / ".venv" / ".installed").touch()
    done = _make(project, ".venv/.installed", environ=index_environ(index))
    assert done.returncode == 0, done.stdout + done.stderr
    assert ".venv is not usable and is made again" in done.stdout


class _Locked(Distribution):
    """An installed package under the version that a lock pins; locks of functions may pin another than ours."""

    def __init__(self, requirement: Requirement) -> None:
        self._installed = distribution(requirement.name)
        self._version = str(requirement.specifier).removeprefix("==")

    @property
    def version(self) -> str:
        return self._version

    def read_text(self, filename: str) -> str | None:
        return self._installed.read_text(filename)

    def locate_file(self, path: Any) -> Any:
        return self._installed.locate_file(path)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_lock_is_complete_with_its_extras(path: Path) -> None:
    """Each requirement of each locked package is in the lock, in an accepted version and with its extras."""
    locked = [Requirement(line.rstrip(" \\")) for line in path.read_text().splitlines() if not line.startswith(" ")]
    here = [each for each in locked if each.marker is None or each.marker.evaluate()]
    extras: dict[str, set[str]] = {canonicalize_name(each.name): each.extras for each in here}
    markers = {name: str(value) for name, value in default_environment().items()}
    assert unmet([_Locked(each) for each in here], markers, extras) == []


def _tools(folder: Path, **scripts: str) -> dict[str, str]:
    """An environment whose PATH has only the programs of the recipe and these scripts."""
    folder.mkdir()
    for tool in ("sh", "grep", "rm", "env"):
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


_OLD_PYTHON = 'test "$1" = -V && echo Python 3.8.18; exit 1'
_NODE = 'test "$1" = -v && echo v{0}.1.0 && exit; test {0} -ge 20'


@pytest.mark.parametrize(
    ("target", "scripts", "expected"),
    [
        (".venv/.installed", {"python9": _OLD_PYTHON}, "needs Python 3.11 or newer; `python9` is Python 3.8.18. Name"),
        (".venv/.installed", {}, "needs Python 3.11 or newer; `python9` is missing. Name another: make setup PYTHON="),
        ("node_modules/.installed", {}, "need Node 20 or newer; `node` is missing. Install it"),
        ("node_modules/.installed", {"node": _NODE.format(18)}, "need Node 20 or newer; `node` is v18.1.0. Install it"),
        ("node_modules/.installed", {"node": _NODE.format(20)}, "npm is missing: install it"),
    ],
    ids=["old Python", "no Python", "no Node", "old Node", "no npm"],
)
def test_a_missing_program_is_one_line(tmp_path: Path, target: str, scripts: dict[str, str], expected: str) -> None:
    """The line names the program, its version and what to do; no files are left."""
    project = _project(tmp_path, build_index(tmp_path / "index"))
    done = _make(project, target, python="python9", environ=_tools(tmp_path / "bin", **scripts))
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make: ")]
    assert done.returncode != 0
    assert len(lines) == 1, done.stderr
    assert expected in lines[0]
    assert not (project / target).exists()


def test_a_python_without_venv_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian omits ensurepip; the message names its package."""
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ensurepip" else find(name))
    with pytest.raises(StackError, match=r"apt install python3\.\d+-venv\), or name another Python"):
        install.install(tmp_path / ".venv")
    assert not (tmp_path / ".venv").exists()


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installation does not start; the message has the needed and the free space."""
    monkeypatch.setattr(disk, "free_bytes", lambda _: 5_000_000)
    with pytest.raises(StackError, match=r"\.venv needs 1200 MB, and its disk has 5 MB free: make room first"):
        install.install(tmp_path / ".venv")


def test_a_read_only_path_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The message names the path."""
    (tmp_path / "file").touch()
    assert install.main([os.fspath(tmp_path / "file" / ".venv")]) == 1
    error = capfd.readouterr().err
    assert str(tmp_path / "file") in error
    assert "Traceback" not in error
