"""The child process: its rights, its end, and the next query after a fault."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from local.environment import ROOT
from shared.sql.workers import Workers, workers_over
from tests.shared.sql_queries import MEMORY_BOMBS, TIME_BOMBS
from tests.stack_process import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.processes]

_ENDLESS = "select count(*) from range(1000000000000)"
_HONEST = "select symbol, sum(volume), count(*) from bars_1d where symbol = 'ZB' group by symbol"
_RIGHT = [["ZB", 2_104_514, 30]]


@asynccontextmanager
async def _workers(path: Path, seconds: float = 20.0) -> AsyncIterator[Workers]:
    workers = Workers(path, seconds=seconds)
    try:
        yield workers
    finally:
        await workers.wait_closed()


def _query(sql: str) -> dict[str, Any]:
    return {"operation": "query", "sql": sql}


def _children(parent: int | str = "self") -> list[int]:
    """The process ids of living sandboxes that a process of ours started."""
    listed = " ".join(path.read_text() for path in Path(f"/proc/{parent}/task").glob("*/children"))
    return [int(pid) for pid in listed.split() if b"shared.sql.child" in _seen(pid, "cmdline")]


def _limits(pid: int) -> dict[str, str]:
    """What the kernel lets it have; it has a limit of CPU time since its first query."""
    return {line[:26].strip(): line[26:].split()[0] for line in _seen(pid, "limits").decode().splitlines()}


def _asked(pids: list[int]) -> list[int]:
    """Those that have begun with a query."""
    return [pid for pid in pids if _limits(pid).get("Max cpu time", "unlimited") != "unlimited"]


def _seen(pid: int | str, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it ended meanwhile
        return b""


async def _until(condition: Callable[[], object]) -> None:
    """Returns once it holds and the event loop has noticed it; for effects of another process."""
    async with asyncio.timeout(30):
        is_met = False
        while not is_met:
            is_met = bool(condition())
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("sql", TIME_BOMBS, ids=lambda sql: sql[:60])
async def test_a_query_without_end_is_ended(trading: Path, sql: str) -> None:
    """The kill timer ends what does not end by itself, and the next honest query is answered by a fresh child."""
    async with _workers(trading, seconds=2.0) as workers:
        assert (await workers.ask(_query(sql)))["error"] == "query_timeout"
        assert (await workers.ask(_query(_HONEST)))["content"]["rows"] == _RIGHT


@pytest.mark.parametrize("sql", MEMORY_BOMBS, ids=lambda sql: sql[:60])
async def test_a_query_without_measure_fails_and_the_next_is_right(trading: Path, sql: str) -> None:
    """Too much memory or too much time is an error for the model, never a wrong answer, and nothing is left of it."""
    async with _workers(trading, seconds=2.0) as workers:
        assert (await workers.ask(_query(sql)))["error"] in {"query_failed", "query_timeout"}
        assert (await workers.ask(_query(_HONEST)))["content"]["rows"] == _RIGHT


async def test_a_fresh_child_is_started_ahead(trading: Path) -> None:
    """After a kill the next child loads before the next query."""
    async with _workers(trading, seconds=2.0) as workers:
        await workers.ask(_query(_ENDLESS))
        await _until(lambda: len(_children()) == 1)
        (fresh,) = _children()
        assert "content" in await workers.ask(_query("select 1"))
        assert _children() == [fresh]


def test_a_process_stays_under_half_a_gigabyte(trading: Path) -> None:
    """A child that is asked for a list without end holds at most half a gigabyte of memory."""
    script = f"""
import asyncio, resource
from pathlib import Path
from shared.sql.workers import Workers
from tests.shared.sql_queries import MEMORY_BOMBS
async def main():
    workers = Workers(Path({str(trading)!r}), seconds=1.0)
    await workers.ask({{"operation": "query", "sql": MEMORY_BOMBS[0]}})
    await workers.wait_closed()
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    peak_kb = int(done.stdout.split()[-1])
    assert 50_000 < peak_kb < 512 * 1024


async def test_a_child_is_given_nothing(trading: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child has no key, no open file but the database, another directory, and limits of the kernel."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    with (trading.parent / "of the parent").open("w") as own:
        os.set_inheritable(own.fileno(), True)
        async with _workers(trading) as workers:
            await workers.ask(_query("select 1"))
            (pid,) = _children()
            names = {line.partition(b"=")[0].decode() for line in _seen(pid, "environ").split(b"\0") if line}
            opened = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
            given = _limits(pid)
            cwd = str(Path(f"/proc/{pid}/cwd").readlink())
    assert names <= {"PYTHONPATH", "MALLOC_ARENA_MAX", "TZ", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "TMPDIR"}
    assert {each for each in opened if each.startswith("/")} == {"/dev/null", str(trading)}
    assert cwd == "/"
    assert int(given["Max address space"]) <= 512 * 2**20
    assert (given["Max open files"], given["Max file size"], given["Max core file size"]) == ("0", "0", "0")
    assert given["Max cpu time"] != "unlimited"


async def test_a_cancelled_caller_leaves_no_answer_behind(trading: Path) -> None:
    """After a cancelled query the next query gets its own answer, not the late one."""
    async with _workers(trading) as workers:
        await workers.ask(_query("select 1"))
        running = asyncio.create_task(workers.ask(_query("select 41 + count(*) from range(300000000)")))
        await asyncio.sleep(0)  # it has been sent
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (await workers.ask(_query("select 2")))["content"]["rows"] == [[2]]


async def test_a_caller_cancelled_while_a_child_loads_wastes_nothing(trading: Path) -> None:
    """The child that was loading runs the next query."""
    async with _workers(trading) as workers:
        running = asyncio.create_task(workers.ask(_query("select 1")))
        await _until(_children)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (await workers.ask(_query("select 2")))["content"]["rows"] == [[2]]
        assert len(_children()) == 1


async def test_many_turns_share_two_children(trading: Path) -> None:
    """Concurrent questions queue for at most two processes, and each gets its own answer."""
    async with _workers(trading) as workers:
        answers = await asyncio.gather(*(workers.ask(_query(f"select {number}")) for number in range(12)))
        assert [answer["content"]["rows"] for answer in answers] == [[[number]] for number in range(12)]
        assert len(_children()) == 2


async def test_an_idle_child_that_died_is_nobodys_fault(trading: Path) -> None:
    """A child that ended while idle is replaced before the next query."""
    async with _workers(trading) as workers:
        await workers.ask(_query("select 1"))
        (pid,) = _children()
        os.kill(pid, signal.SIGKILL)
        await _until(lambda: not Path(f"/proc/{pid}").exists())
        assert (await workers.ask(_query("select 2")))["content"]["rows"] == [[2]]


async def test_a_child_that_dies_over_a_query_is_an_error_of_that_query(trading: Path) -> None:
    """If a child ends during a query, only that query fails."""
    async with _workers(trading) as workers:
        running = asyncio.create_task(workers.ask(_query(_ENDLESS)))
        await _until(lambda: _asked(_children()))
        os.kill(_children()[0], signal.SIGKILL)
        assert (await running)["error"] == "query_failed"
        assert (await workers.ask(_query("select 2")))["content"]["rows"] == [[2]]


def test_children_die_with_their_parent(trading: Path) -> None:
    """If the function is killed during a query, no child is left."""
    script = f"""
import asyncio
from pathlib import Path
from shared.sql.workers import Workers
asyncio.run(Workers(Path({str(trading)!r}), seconds=600).ask({{"operation": "query", "sql": {_ENDLESS!r}}}))
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as parent:
        assert wait_until(lambda: bool(_asked(_children(parent.pid))), 30)
        children = _children(parent.pid)
        parent.kill()
    assert wait_until(lambda: not any(_seen(pid, "cmdline") for pid in children), 30)


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    """The result says that there is no data, and the next query tries again."""
    path = tmp_path / "no.duckdb"
    path.write_text("no database at all")
    async with _workers(path) as workers:
        for _ in range(2):
            assert (await workers.ask(_query("select 1")))["error"] == "data_unavailable"
        assert _children() == []


@pytest.mark.usefixtures("sessions")
async def test_a_replaced_database_is_read_again(tmp_path: Path, trading: Path) -> None:
    """The next query reads a new file at the same path, and the old file's children end."""
    path = tmp_path / "trading.duckdb"
    path.write_bytes(trading.read_bytes())
    assert "content" in await workers_over(path).ask(_query("select * from bars_1d"))
    old = _children()
    path.unlink()
    path.write_bytes(trading.read_bytes())
    assert workers_over(path) is workers_over(path)
    assert "content" in await workers_over(path).ask(_query("select * from bars_1d"))
    await _until(lambda: not set(old) & set(_children()))
