"""The cost of the sandbox: a query through `analyze_data`, beside the same query in this process."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import duckdb

from functions.chat.tools.analyze_data import ANALYZE_DATA, DESCRIBE_DATA, AnalyzeData, DescribeData
from local import demo_data
from shared.config import settings
from shared.http import close_sessions

_ROUNDS = 200
_AIM_MS = 150
_QUERIES = {
    "one row": "select 1",
    "a day's range": "select symbol, max(high) - min(low) from bars_1d group by symbol order by symbol",
    "all minutes": "select symbol, avg(close), stddev(close), sum(volume) from bars_1m group by symbol order by symbol",
    "200 rows": "select * from bars_5m where symbol = 'ES' order by ts limit 200",
}


def measure() -> None:
    """Prints the median of warm calls for each query on the demo market."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trading.duckdb"
        started = time.perf_counter()
        demo_data.provide(path)
        print(f"demo data: {time.perf_counter() - started:.1f} s, {path.stat().st_size / 1e6:.1f} MB")
        os.environ["DATABASE_PATH"] = str(path)
        settings.cache_clear()
        try:
            asyncio.run(_measure(path))
        finally:
            del os.environ["DATABASE_PATH"]
            settings.cache_clear()


async def _measure(path: Path) -> None:
    print(f"analyze_data, warm, median of {_ROUNDS}")
    first = await _median(lambda: DESCRIBE_DATA.run(DescribeData()), rounds=1)
    with duckdb.connect(path, read_only=True, config={"threads": 2}) as database:
        for name, sql in _QUERIES.items():
            own = await _median(_direct_query(database, sql))
            tool = await _median(_tool_query(sql))
            adds = f"adds {tool - own:5.1f} ms (aim: under {_AIM_MS})"
            print(f"  {name:14s} {tool:6.1f} ms   DuckDB alone {own:6.1f} ms   {adds}")
    warm = await _median(lambda: DESCRIBE_DATA.run(DescribeData()))
    print(f"  describe_data  {warm:6.1f} ms   the first, with the start of the child process {first:.0f} ms")
    await close_sessions()


def _direct_query(database: duckdb.DuckDBPyConnection, sql: str) -> Callable[[], Awaitable[object]]:
    async def run() -> object:
        return database.execute(sql).fetchall()

    return run


def _tool_query(sql: str) -> Callable[[], Awaitable[object]]:
    return lambda: ANALYZE_DATA.run(AnalyzeData(sql=sql))


async def _median(run_query: Callable[[], Awaitable[object]], rounds: int = _ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        await run_query()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)
