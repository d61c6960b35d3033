"""Builds a small demo market for `analyze_data` and its tests; every build has the same rows.

A random walk counts in ticks, so every price is a whole number of ticks. Wider bars are made from one-minute bars.
"""

from __future__ import annotations

import contextlib
import csv
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from local.build_cache import FOLDER, BuildCache, key_of
from local.data_dir import display_path
from local.environment import ROOT
from local.errors import StackError
from local.ticks import to_price, to_ticks

_MARKETS = BuildCache(FOLDER / "markets")
_SCHEMA = Path(__file__).with_name("demo_data.sql")
_SEED = 20261121
_FIRST_DAY, _DAYS = (
    date(2026, 9, 28),
    30,
)  # six weeks without an exchange holiday, with one change of daylight-saving time
_ZONE = "America/Chicago"
_OPENS, _CLOSES = time(17), time(16)  # a session opens on the evening before its trade date


@dataclass(frozen=True, slots=True)
class Instrument:
    """A futures contract with the specification of its exchange; `start` is the first made-up price."""

    symbol: str
    name: str
    exchange: str
    tick_size: Decimal
    tick_value: Decimal  # USD per tick and contract
    start: Decimal
    pace: int  # scales the ticks per minute and the volume


# Contract specifications as CME Group publishes them, read 2026-11-21.
INSTRUMENTS = (
    Instrument("ES", "E-mini S&P 500", "CME", Decimal("0.25"), Decimal("12.50"), Decimal("6612.25"), 4),
    Instrument("CL", "Crude Oil (WTI)", "NYMEX", Decimal("0.01"), Decimal("10.00"), Decimal("63.48"), 3),
    Instrument("GC", "Gold", "COMEX", Decimal("0.10"), Decimal("10.00"), Decimal("3658.40"), 6),
    Instrument("ZB", "U.S. Treasury Bond", "CBOT", Decimal("0.03125"), Decimal("31.25"), Decimal("117.03125"), 1),
    Instrument("6E", "Euro FX", "CME", Decimal("0.00005"), Decimal("6.25"), Decimal("1.17465"), 2),
)


def build(path: Path) -> None:
    """Creates or replaces the database at `path` atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(draft) as database:
        minutes = Path(folder) / "bars.csv"
        _write_minutes(minutes)
        statements = _SCHEMA.read_text().split(";\n")
        database.execute(statements[0])
        database.executemany("insert into instruments values (?, ?, ?, 'USD', ?, ?, ?, ?, ?)", _rows())
        for statement in statements[1:]:
            database.execute(statement.replace("$minutes", str(minutes)))
    draft.replace(path)


def provide(path: Path, cache: BuildCache = _MARKETS) -> None:
    """The same as `build`; copies the database from the cache if the same code has built it before."""
    key = key_of(
        [duckdb.__version__, platform.machine()], [Path(__file__), _SCHEMA, Path(__file__).with_name("ticks.py")]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as folder:
        market = Path(folder) / "market.duckdb"
        if not cache.restore(key, Path(folder)):
            build(market)
            cache.store(key, Path(folder))
        market.replace(path)


@contextlib.contextmanager
def built_in_background(path: Path | None) -> Iterator[None]:
    """Builds a missing database while the body runs. Raises StackError when the build fails."""
    if path is None or path.exists():
        yield
        return
    print(f"Building the demo market in {display_path(path)}", flush=True)
    command = [sys.executable, "-m", "local", "demo-data", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as builder:
        try:
            yield
            _, error_output = builder.communicate()
        finally:
            builder.kill()
    if builder.returncode:
        raise StackError(f"the demo data could not be built at {path}:\n{error_output.strip()}")


def _rows() -> list[tuple[Any, ...]]:
    return [
        (each.symbol, each.name, each.exchange, _ZONE, _OPENS, _CLOSES, each.tick_size, each.tick_value)
        for each in INSTRUMENTS
    ]


def _write_minutes(path: Path) -> None:
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        for instrument in INSTRUMENTS:
            chance = random.Random(f"{_SEED} {instrument.symbol}")  # noqa: S311 - made up, not secret
            ticks = to_ticks(instrument.start, instrument.tick_size)
            for day in _trade_dates():
                for moment in _minutes(day):
                    bar, ticks = _bar(instrument, ticks, chance)
                    lines.writerow((instrument.symbol, moment, day, *bar))


def _trade_dates() -> Iterator[date]:
    days = (_FIRST_DAY + timedelta(days=number) for number in range(2 * _DAYS))
    weekdays = (day for day in days if day.weekday() < 5)
    for _, day in zip(range(_DAYS), weekdays, strict=False):
        yield day


def _minutes(day: date) -> Iterator[str]:
    """The start of each minute of a session, in UTC."""
    zone = ZoneInfo(_ZONE)
    moment = datetime.combine(day - timedelta(days=1), _OPENS, zone).astimezone(UTC)
    end = datetime.combine(day, _CLOSES, zone).astimezone(UTC)
    while moment < end:
        yield moment.strftime("%Y-%m-%d %H:%M:%S")
        moment += timedelta(minutes=1)


def _bar(instrument: Instrument, before: int, chance: random.Random) -> tuple[tuple[Decimal | int, ...], int]:
    """Open, high, low, close and volume of one minute, and its closing price in ticks."""
    pace, draw = instrument.pace, chance.random
    opened = before + int((2 * pace + 1) * draw()) - pace if draw() < 0.1 else before
    closed = opened + int((2 * pace + 1) * draw()) - pace
    high = max(opened, closed) + int((pace + 1) * draw())
    low = min(opened, closed) - int((pace + 1) * draw())
    prices = (to_price(ticks, instrument.tick_size) for ticks in (opened, high, low, closed))
    return (*prices, 1 + int(pace * 200 * draw() * draw())), closed
