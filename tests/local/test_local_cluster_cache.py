"""New clusters from the cache: each has the migrations of today and nothing of another stack."""

from __future__ import annotations

from pathlib import Path

from local import cluster_cache, migrations, postgres
from local.build_cache import BuildCache
from local.cluster_cache import MIGRATIONS, cluster_key
from tests.local.servers import Server
from tests.stack_process import data_folder, free_ports


def test_the_key_follows_every_migration(tmp_path: Path) -> None:
    """A changed byte, a new name and a further file each give another key; the same files give the same."""
    one = tmp_path / "20260101000000_a.sql"
    one.write_text("select 1;")
    keys = [cluster_key(tmp_path, "postgres"), cluster_key(tmp_path, "other")]
    one.write_text("select 2;")
    keys.append(cluster_key(tmp_path, "postgres"))
    one = one.rename(tmp_path / "20260101000001_a.sql")
    keys.append(cluster_key(tmp_path, "postgres"))
    (tmp_path / "20260102000000_b.sql").write_text("")
    keys.append(cluster_key(tmp_path, "postgres"))
    assert len(set(keys)) == len(keys)
    assert cluster_key(tmp_path, "postgres") == keys[-1]


def test_a_cluster_from_the_cache_has_the_migrations_and_no_person() -> None:
    """A second cluster is a copy of the first one before anything of a stack was written to it."""
    port = free_ports()
    with data_folder() as data:
        cache = BuildCache(data.with_name("cache"))
        cluster_cache.create(data.with_name("first"), port, "postgres", cache=cache)
        entry = next(cache.folder.iterdir())
        used = entry.stat().st_mtime_ns
        cluster_cache.create(data, port, "postgres", cache=cache)
        assert entry.stat().st_mtime_ns > used
        postgres.start(data, port)
        try:
            server = Server(data, port)
            assert migrations.apply(postgres.dsn(port), MIGRATIONS) == []
            assert server.query("select count(*) from auth.users", "postgres") == [(0,)]
            assert server.query("select count(*) from pg_authid where rolpassword is not null", "postgres") == [(0,)]
        finally:
            postgres.stop(data)


def test_a_damaged_copy_is_made_again() -> None:
    """A cluster that lost a file in the cache is not used: the new one is made from the migrations."""
    port = free_ports()
    with data_folder() as data:
        cache = BuildCache(data.with_name("cache"))
        cluster_cache.create(data.with_name("first"), port, "postgres", cache=cache)
        next(cache.folder.glob("*/data/global/pg_control")).unlink()
        cluster_cache.create(data, port, "postgres", cache=cache)
        assert (data / "global" / "pg_control").is_file()
        assert len(list(cache.folder.glob("*/data/global/pg_control"))) == 1
