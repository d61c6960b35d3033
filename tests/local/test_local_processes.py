"""Children of a supervisor: restarted after an exit or a change, not restarted with broken code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.processes import Child, Children
from local.reaper import Reaper
from local.source_watcher import SourceWatcher
from tests.stack_process import wait_until


class Supervised:
    """A program in its own folder, watched by a supervisor."""

    def __init__(self, folder: Path, reaper: Reaper) -> None:
        self.code, self.stop = folder / "program.py", threading.Event()
        self.write("one")
        self.children = Children(reaper, self.stop)
        self.child: Child = self.children.start(
            "program",
            [sys.executable, "-B", str(self.code)],
            cwd=folder,
            environ=os.environ,
            log=folder / "log",
            sources=(folder,),
        )
        self.watching = threading.Thread(target=self.children.watch)
        self.watching.start()

    def write(self, word: str) -> None:
        """Writes a program that prints the word and keeps running; an empty word gives broken code."""
        draft = self.code.with_suffix(".new")
        draft.write_text(f"print({word!r}, flush=True)\nimport time\ntime.sleep(600)\n" if word else "broken(")
        draft.replace(self.code)

    def has_printed(self, word: str, times: int = 1) -> bool:
        """Waits until the log has the word this many times."""
        return wait_until(lambda: self.child.log.read_text().splitlines().count(word) == times, 15)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    """A program and its supervisor; both end after the test."""
    with (tmp_path / "lock").open("w") as lock:
        reaper = Reaper(lock.fileno())
        running = Supervised(tmp_path, reaper)
        yield running
        running.stop.set()
        running.watching.join(20)
        running.children.stop()
        reaper.end()


def test_a_code_change_restarts_the_program(supervised: Supervised) -> None:
    """The new code runs, and the old process has ended."""
    assert supervised.has_printed("one")
    old = supervised.child.process
    supervised.write("two")
    assert supervised.has_printed("two")
    assert old.poll() is not None


def test_broken_code_waits_for_a_change(supervised: Supervised, capsys: pytest.CaptureFixture[str]) -> None:
    """The error is printed once with the log's end; the program runs again after a correction."""
    assert supervised.has_printed("one")
    supervised.write("")
    assert wait_until(lambda: supervised.child.is_waiting_for_change, 15)
    supervised.write("fixed")
    assert supervised.has_printed("fixed")
    assert not supervised.child.is_waiting_for_change
    output = capsys.readouterr().out
    assert output.count("it starts when its code changes") == 1
    assert "SyntaxError" in output


def test_a_killed_program_is_restarted(supervised: Supervised) -> None:
    """It runs again with the same code."""
    assert supervised.has_printed("one")
    os.kill(supervised.child.process.pid, signal.SIGKILL)
    assert supervised.has_printed("one", times=2)


def test_each_change_is_reported_once(tmp_path: Path) -> None:
    """Saving, adding and deleting are changes; a second check reports none; other files do not count."""
    sources = SourceWatcher((tmp_path,))
    assert not sources.have_changed()
    (tmp_path / "a.txt").write_text("x")
    assert not sources.have_changed()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.py").write_text("x")
    assert [sources.have_changed(), sources.have_changed()] == [True, False]
    os.utime(tmp_path / "sub" / "a.py", ns=(1, 1))
    assert [sources.have_changed(), sources.have_changed()] == [True, False]
    (tmp_path / "sub" / "a.py").unlink()
    assert [sources.have_changed(), sources.have_changed()] == [True, False]
    assert not SourceWatcher().have_changed()
