"""The cache of built directories: an entry is restored completely or not at all."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.build_cache import BuildCache


@pytest.fixture
def cache(tmp_path: Path) -> BuildCache:
    """An empty cache of this test's own."""
    return BuildCache(tmp_path / "cache")


@pytest.fixture
def stored(tmp_path: Path, cache: BuildCache) -> Path:
    """A directory with a file and an empty folder, stored as `key`."""
    data = tmp_path / "stored"
    (data / "base" / "empty").mkdir(parents=True)
    (data / "base" / "1").write_bytes(b"\0page")
    cache.store("key", data)
    return data


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """An empty directory for a copy."""
    folder = tmp_path / "copy"
    folder.mkdir()
    return folder


def _content(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): _bytes(path) for path in folder.rglob("*")}


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def test_a_copy_has_what_was_stored(copy: Path, cache: BuildCache, stored: Path) -> None:
    """Files and empty folders come back; another key finds nothing."""
    assert cache.restore("key", copy)
    assert _content(copy) == _content(stored)
    assert not cache.restore("other", copy)


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "no digest", "no data"])
def test_a_damaged_entry_is_not_used_and_is_removed(copy: Path, cache: BuildCache, stored: Path, damage: str) -> None:
    """A copy that differs from what was stored is refused, and the next store replaces the entry."""
    entry = cache.folder / "key"
    match damage:
        case "changed":
            (entry / "data" / "base" / "1").write_bytes(b"\0pagE")
        case "missing":
            (entry / "data" / "base" / "empty").rmdir()
        case "added":
            (entry / "data" / "postmaster.pid").write_text("1")
        case "no digest":
            (entry / "digest").unlink()
        case _:
            shutil.rmtree(entry / "data")
    assert not cache.restore("key", copy)
    assert list(cache.folder.iterdir()) == []
    cache.store("key", stored)
    assert [path.name for path in cache.folder.iterdir()] == ["key"]


def test_several_may_store_and_restore_at_once(tmp_path: Path, cache: BuildCache, stored: Path) -> None:
    """The entry stays one and whole; each gets a copy of its own."""

    def run(number: int) -> bool:
        cache.store("key", stored)
        target = tmp_path / f"copy-{number}"
        target.mkdir()
        return cache.restore("key", target)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(16)))
    assert [path.name for path in cache.folder.iterdir()] == ["key"]


def test_the_last_used_entries_stay(copy: Path, cache: BuildCache, stored: Path) -> None:
    """Older ones are deleted, and so is what an ended process left long ago; a fresh draft stays."""
    for age, name in enumerate(("key", "second", "third")):
        cache.store(name, stored)
        os.utime(cache.folder / name, (1_000_000 + age, 1_000_000 + age))
    (cache.folder / ".draft-old").mkdir()
    os.utime(cache.folder / ".draft-old", (0, 0))
    (cache.folder / ".draft-new").mkdir()
    assert cache.restore("key", copy)
    cache.store("fourth", stored)
    assert {path.name for path in cache.folder.iterdir()} == {"key", "third", "fourth", ".draft-new"}


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, stored: Path) -> None:
    """The cache saves time and is needed for nothing."""
    (tmp_path / "file").write_text("")
    BuildCache(tmp_path / "file" / "cache").store("key", stored)
