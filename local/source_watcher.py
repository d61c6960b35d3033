"""The source files a program was started from, watched so that it can be started again when they change."""

from __future__ import annotations

from pathlib import Path


class SourceWatcher:
    """The Python files below some folders; without folders nothing ever changes."""

    def __init__(self, folders: tuple[Path, ...] = ()) -> None:
        self._folders = folders
        self._last_times = self._modification_times()

    @property
    def are_watched(self) -> bool:
        """Whether there is anything to wait for."""
        return bool(self._folders)

    def have_changed(self) -> bool:
        """True once for each change: a file saved, added, renamed or deleted."""
        before, self._last_times = self._last_times, self._modification_times()
        return self._last_times != before

    def _modification_times(self) -> frozenset[tuple[Path, int]]:
        """Some fifty files at a time: looking costs less than being told."""
        files = (path for folder in self._folders for path in folder.rglob("*.py"))
        return frozenset((path, path.stat().st_mtime_ns) for path in files if path.exists())
