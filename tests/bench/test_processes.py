"""What is read from /proc."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench import processes
from bench.processes import cpu_seconds, descendants, parse_stat, pss_mb, tree


def test_a_stat_line_counts_ended_children() -> None:
    """The name may hold spaces and brackets; CPU is the process's own and that of children that have ended."""
    line = "42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 100 50 30 20 20 0 1 0 99 0 0"
    stat = parse_stat(line, ticks=100)
    assert (stat.parent, stat.cpu_seconds) == (7, 2.0)


def test_descendants_are_found_at_any_depth() -> None:
    """Children of children belong to a tree, other processes do not."""
    assert descendants(1, {1: 0, 2: 1, 3: 2, 4: 9, 5: 3}) == {1, 2, 3, 5}


def test_a_tree_holds_a_child_with_its_cpu_and_memory() -> None:
    """A living child is part of this process's tree."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert {os.getpid(), child.pid} <= tree(os.getpid())
        assert tree(child.pid) == {child.pid}
        assert pss_mb(os.getpid()) > 0
        assert cpu_seconds({"all": os.getpid()})["all"] > 0
    finally:
        child.communicate(b"\n")


def test_an_ended_root_uses_nothing() -> None:
    """A tree without living processes is empty."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert tree(child.pid) == set()
    assert cpu_seconds({"gone": child.pid}) == {"gone": 0}


@pytest.mark.parametrize("readings", [(1.5, 2.0), (2.0, 1.5)])
def test_a_process_that_ends_while_proc_is_read_is_counted(
    monkeypatch: pytest.MonkeyPatch, readings: tuple[float, float]
) -> None:
    """Of two readings the one that has its seconds counts."""
    found = iter({"all": seconds} for seconds in readings)
    monkeypatch.setattr(processes, "_cpu_seconds", lambda _roots: next(found))
    assert cpu_seconds({"all": 1}) == {"all": 2.0}
