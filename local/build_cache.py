"""A cache of directories that are slow to build: each is built once for each state of its sources, then copied."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from local.environment import ROOT

FOLDER = ROOT / "build" / "cache"
_MAX_ENTRIES = 3
_DRAFT = ".draft-"
_ABANDONED_SECONDS = 3600
_COPY = ("cp", "-c", "-pR") if sys.platform == "darwin" else ("cp", "-a", "--reflink=auto")


@dataclass(frozen=True, slots=True)
class BuildCache:
    """Directories by key, in `folder`. An entry is complete or absent, also when several processes share the folder."""

    folder: Path

    def restore(self, key: str, target: Path) -> bool:
        """True when the empty directory `target` now holds a copy of this entry, False without a complete entry."""
        entry = self.folder / key
        if not entry.is_dir():
            return False
        try:
            digest = (entry / "digest").read_text()
            is_whole = _copy(entry / "data", target) and _digest(target) == digest
        except OSError:  # another process has deleted it meanwhile
            is_whole = False
        if not is_whole:
            self._discard(entry)
            return False
        with contextlib.suppress(OSError):
            os.utime(entry)  # the entries with the oldest use are deleted first
        return True

    def store(self, key: str, source: Path) -> None:
        """Stores a copy of a directory and deletes the entries that were not used for longest. Ignores file errors."""
        draft = self.folder / f"{_DRAFT}{secrets.token_hex(8)}"
        with contextlib.suppress(OSError):
            (draft / "data").mkdir(parents=True)
            if _copy(source, draft / "data"):
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
        """Deletes an entry. The rename first hides it from other processes as a whole."""
        draft = self.folder / f"{_DRAFT}{secrets.token_hex(8)}"
        with contextlib.suppress(OSError):
            entry.rename(draft)
        shutil.rmtree(draft, ignore_errors=True)


def key_of(parts: Iterable[str], files: Iterable[Path]) -> str:
    """The key: a hash of the parts, and of the names and contents of the files."""
    key = hashlib.sha256("\n".join(parts).encode())
    for path in files:
        content = path.read_bytes()
        key.update(f"\n{path.name} {len(content)}\n".encode() + content)
    return key.hexdigest()


def _copy(source: Path, target: Path) -> bool:
    """Copies the content of a directory, with owners and modes; shares the blocks where the file system can."""
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
