"""The cache of new clusters: what comes out of it is what was stored, whole, and nothing of one stack."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local import cluster_cache, migrations, postgres
from local.cluster_cache import MIGRATIONS, ClusterCache, key_of
from tests.local.servers import Server
from tests.stack_process import data_folder, free_ports


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that PostgreSQL's own user can reach."""
    with data_folder() as path:
        yield path.parent


@pytest.fixture
def cache(folder: Path) -> ClusterCache:
    """An empty cache of this test's own."""
    return ClusterCache(folder / "cache")


@pytest.fixture
def stored(folder: Path, cache: ClusterCache) -> Path:
    """A directory with a file, an empty folder and a log, stored as `key`."""
    data = folder / "stored"
    (data / "base" / "empty").mkdir(parents=True)
    (data / "base" / "1").write_bytes(b"\0page")
    (data / "log").write_text("ready to accept connections")
    cache.store("key", data)
    return data


def _content(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): _bytes(path) for path in folder.rglob("*")}


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def test_a_copy_has_what_was_stored_but_the_log(folder: Path, cache: ClusterCache, stored: Path) -> None:
    """Files and empty folders come back; another key finds nothing."""
    assert cache.restore("key", folder / "copy")
    (stored / "log").unlink()
    assert _content(folder / "copy") == _content(stored)
    assert not cache.restore("other", folder / "nothing")
    assert not (folder / "nothing").exists()


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "no digest", "no data"])
def test_a_damaged_entry_is_not_used_and_is_removed(
    folder: Path, cache: ClusterCache, stored: Path, damage: str
) -> None:
    """A copy that differs from what was stored is deleted, and the next store replaces the entry."""
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
    assert not cache.restore("key", folder / "copy")
    assert not (folder / "copy").exists()
    assert list(cache.folder.iterdir()) == []
    cache.store("key", stored)
    assert cache.restore("key", folder / "copy")


def test_several_may_store_and_restore_at_once(folder: Path, cache: ClusterCache, stored: Path) -> None:
    """The entry stays one and whole; each gets a copy of its own."""

    def run(number: int) -> bool:
        cache.store("key", stored)
        return cache.restore("key", folder / f"copy-{number}")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(16)))
    assert [path.name for path in cache.folder.iterdir()] == ["key"]


def test_the_last_used_entries_stay(folder: Path, cache: ClusterCache, stored: Path) -> None:
    """Older ones are deleted, and so is what a killed process left long ago; a fresh draft is somebody's work."""
    for age, name in enumerate(("key", "second", "third")):
        cache.store(name, stored)
        os.utime(cache.folder / name, (1_000_000 + age, 1_000_000 + age))
    (cache.folder / ".draft-old").mkdir()
    os.utime(cache.folder / ".draft-old", (0, 0))
    (cache.folder / ".draft-new").mkdir()
    assert cache.restore("key", folder / "copy")
    cache.store("fourth", stored)
    assert {path.name for path in cache.folder.iterdir()} == {"key", "third", "fourth", ".draft-new"}


def test_a_folder_that_cannot_be_written_is_no_error(folder: Path, stored: Path) -> None:
    """The cache saves time and is needed for nothing."""
    (folder / "file").write_text("")
    ClusterCache(folder / "file" / "cache").store("key", stored)


def test_the_key_follows_every_migration(tmp_path: Path) -> None:
    """A changed byte, a new name and a further file each give another key; the same files give the same."""
    one = tmp_path / "20260101000000_a.sql"
    one.write_text("select 1;")
    keys = [key_of(tmp_path, "postgres"), key_of(tmp_path, "other")]
    one.write_text("select 2;")
    keys.append(key_of(tmp_path, "postgres"))
    one = one.rename(tmp_path / "20260101000001_a.sql")
    keys.append(key_of(tmp_path, "postgres"))
    (tmp_path / "20260102000000_b.sql").write_text("")
    keys.append(key_of(tmp_path, "postgres"))
    assert len(set(keys)) == len(keys)
    assert key_of(tmp_path, "postgres") == keys[-1]


def test_a_cluster_from_the_cache_has_the_migrations_and_no_person(folder: Path, cache: ClusterCache) -> None:
    """A second cluster is a copy of the first one before anything of a stack was written to it."""
    port = free_ports()
    cluster_cache.create(folder / "first", port, "postgres", cache)
    entry = next(cache.folder.iterdir())
    used = entry.stat().st_mtime_ns
    cluster_cache.create(folder / "second", port, "postgres", cache)
    assert entry.stat().st_mtime_ns > used
    postgres.start(folder / "second", port)
    try:
        server = Server(folder / "second", port)
        assert migrations.apply(postgres.dsn(port), MIGRATIONS) == []
        assert server.query("select count(*) from auth.users", "postgres") == [(0,)]
        assert server.query("select count(*) from pg_authid where rolpassword is not null", "postgres") == [(0,)]
    finally:
        postgres.stop(folder / "second")
