"""Children of a supervisor: started again when they die or change, left alone while their code is broken."""

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
from tests.launch import wait_until


class Supervised:
    """One program in a folder of its own, under the eyes of a supervisor's watch."""

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
        """A program that says the word and stays; an empty word is broken code."""
        draft = self.code.with_suffix(".new")
        draft.write_text(f"print({word!r}, flush=True)\nimport time\ntime.sleep(600)\n" if word else "broken(")
        draft.replace(self.code)

    def has_said(self, word: str, times: int = 1) -> bool:
        """Waits for it."""
        return wait_until(lambda: self.child.log.read_text().splitlines().count(word) == times, 15)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    """The program and its supervisor, both ended afterwards."""
    with (tmp_path / "lock").open("w") as lock:
        reaper = Reaper(lock.fileno())
        running = Supervised(tmp_path, reaper)
        yield running
        running.stop.set()
        running.watching.join(20)
        running.children.stop()
        reaper.dismiss()


def test_a_change_of_its_code_starts_it_again(supervised: Supervised) -> None:
    """The new code runs, and the old process is gone."""
    assert supervised.has_said("one")
    old = supervised.child.process
    supervised.write("two")
    assert supervised.has_said("two")
    assert old.poll() is not None


def test_broken_code_waits_for_its_next_change(supervised: Supervised, capsys: pytest.CaptureFixture[str]) -> None:
    """It is told once with the end of the log, not tried over and over, and runs again when it is mended."""
    assert supervised.has_said("one")
    supervised.write("")
    assert wait_until(lambda: supervised.child.is_waiting_for_change, 15)
    supervised.write("mended")
    assert supervised.has_said("mended")
    assert not supervised.child.is_waiting_for_change
    said = capsys.readouterr().out
    assert said.count("it starts when its code changes") == 1
    assert "SyntaxError" in said


def test_a_killed_one_is_back_with_the_same_code(supervised: Supervised) -> None:
    """What was killed from outside runs again."""
    assert supervised.has_said("one")
    os.kill(supervised.child.process.pid, signal.SIGKILL)
    assert supervised.has_said("one", times=2)


def test_sources_change_once_for_each_change(tmp_path: Path) -> None:
    """Saving, adding and deleting are changes; looking again is none; other files do not count."""
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
