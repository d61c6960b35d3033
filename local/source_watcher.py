"""Watches the source files of a program, so that it can be restarted after a change."""

from __future__ import annotations

from pathlib import Path


class SourceWatcher:
    """Watches the Python files below some folders; without folders it reports no change."""

    def __init__(self, folders: tuple[Path, ...] = ()) -> None:
        self._folders = folders
        self._last_times = self._modification_times()

    @property
    def are_watched(self) -> bool:
        """Whether there are folders to watch."""
        return bool(self._folders)

    def have_changed(self) -> bool:
        """True once for each change: a file saved, added, renamed or deleted."""
        before, self._last_times = self._last_times, self._modification_times()
        return self._last_times != before

    def _modification_times(self) -> frozenset[tuple[Path, int]]:
        """The modification time of each file; polling some fifty files is cheap enough."""
        files = (path for folder in self._folders for path in folder.rglob("*.py"))
        return frozenset((path, path.stat().st_mtime_ns) for path in files if path.exists())
