"""A compressed library, unpacked on its first import."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import pytest

from deploy.packed import unpacked


def test_the_units_duckdb_answers_and_is_unpacked_once(units: Path, bare_python: Path, tmp_path: Path) -> None:
    """Several processes at once leave one library, and the next process uses it."""
    command = [str(bare_python), "-P", "-c", "import duckdb; print(duckdb.sql('select 6 * 7').fetchall())"]
    environ = {"PYTHONPATH": str(units / "chat"), "TMPDIR": str(tmp_path)}

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)

    answers = [process.communicate(timeout=120)[0] for process in [started() for _ in range(3)]]
    assert answers == ["[(42,)]\n"] * 3
    (library,) = tmp_path.iterdir()
    first = library.stat().st_ino
    assert started().communicate(timeout=120)[0] == "[(42,)]\n"
    assert library.stat().st_ino == first


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The archive of a library, with an empty temporary folder."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    path = tmp_path / "lib.so.gz"
    path.write_bytes(gzip.compress(os.urandom(100_000)))
    return path


def test_an_interrupted_unpacking_leaves_nothing(archive: Path, tmp_path: Path) -> None:
    """Half a library would crash the next process that loads it."""
    content = archive.read_bytes()
    archive.write_bytes(content[:50_000] + content[-8:])
    with pytest.raises((OSError, EOFError)):
        unpacked(archive)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_another_library_has_another_name(archive: Path) -> None:
    """A library of an earlier unit is not used."""
    first = unpacked(archive)
    archive.write_bytes(gzip.compress(b"another"))
    second = unpacked(archive)
    assert (first != second, second.read_bytes(), first.exists()) == (True, b"another", True)


def test_a_file_of_another_user_is_not_loaded(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other users can write to the temporary folder, so the name proves nothing."""
    planted = unpacked(archive)
    planted.write_bytes(b"planted")
    monkeypatch.setattr("os.getuid", lambda: -1)
    assert unpacked(archive).read_bytes() != b"planted"
