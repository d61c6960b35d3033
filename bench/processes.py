"""What processes use, read from /proc: CPU and memory of process trees, and the load of the whole machine."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)  # of /proc/stat: user, nice, system, irq, softirq, steal


@dataclass(frozen=True, slots=True)
class Stat:
    """A line of /proc/PID/stat; the seconds include children that have ended."""

    parent: int
    cpu_seconds: float


def parse_stat(line: str, ticks: int = _TICKS) -> Stat:
    """The values of one line. The name of a process may contain spaces and brackets."""
    fields = line.rpartition(")")[2].split()
    return Stat(int(fields[1]), sum(map(int, fields[11:15])) / ticks)


def descendants(root: int, parents: Mapping[int, int]) -> set[int]:
    """The process and all below it, from the parent of each process."""
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _stats() -> dict[int, Stat]:
    found = {}
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            found[int(folder.name)] = parse_stat((folder / "stat").read_text())
    return found


def tree(root: int) -> set[int]:
    """The living processes at and below a process id."""
    stats = _stats()
    return descendants(root, {pid: stat.parent for pid, stat in stats.items()}) & set(stats)


def cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds of each named tree so far: the greater of two readings.

    /proc is not read at once. A process that ends meanwhile may be gone before its own line is read, and be in its
    parent's line only after that one was read. The second reading has it.
    """
    first, second = _cpu_seconds(roots), _cpu_seconds(roots)
    return {name: max(first[name], second[name]) for name in roots}


def _cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    stats = _stats()
    parents = {pid: stat.parent for pid, stat in stats.items()}
    return {
        name: sum(stats[pid].cpu_seconds for pid in descendants(root, parents) if pid in stats)
        for name, root in roots.items()
    }


def pss_mb(root: int) -> float:
    """Megabytes of a tree, with shared pages divided among the processes that share them."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def busy_seconds() -> float:
    """CPU seconds that the whole machine has used so far."""
    fields = (_PROC / "stat").read_text().splitlines()[0].split()[1:]
    return sum(int(fields[number]) for number in _BUSY_FIELDS) / _TICKS


def wait_until_quiet(max_seconds: float) -> None:
    """Returns when less than 15 % of the machine is in use, at the latest after `max_seconds`."""
    deadline = time.monotonic() + max_seconds
    while time.monotonic() < deadline:
        before = busy_seconds()
        time.sleep(0.3)
        if busy_seconds() - before < 0.15 * 0.3 * (os.cpu_count() or 1):
            return


def pin(pids: Iterable[int], cpus: Iterable[int]) -> None:
    """Keeps all threads of the processes on these cores."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in (_PROC / str(pid) / "task").iterdir():
                os.sched_setaffinity(int(thread.name), set(cpus))
