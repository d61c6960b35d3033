"""The demo market: whole ticks, exact decimals, the same rows in every build."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from local import demo_data
from local.errors import StackError
from local.ticks import to_ticks
from tests.stack_process import command

_BARS = ("bars_1m", "bars_5m", "bars_1d")


@pytest.fixture(scope="module")
def market(trading: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the demo market."""
    with duckdb.connect(trading, read_only=True) as connection:
        yield connection


def _all(market: duckdb.DuckDBPyConnection, sql: str) -> list[Any]:
    return market.execute(sql).fetchall()


@pytest.mark.parametrize("table", _BARS)
def test_every_price_is_a_whole_number_of_ticks(market: duckdb.DuckDBPyConnection, table: str) -> None:
    """DuckDB's decimals and ours agree for every instrument; high and low enclose open and close."""
    off = " or ".join(f"{price} % tick_size <> 0" for price in ("open", "high", "low", "close"))
    crossed = "low > least(open, close) or high < greatest(open, close) or volume < 1 or low <= 0"
    assert _all(market, f"select * from {table} join instruments using (symbol) where {off} or {crossed}") == []
    for high, size in _all(
        market, f"select max(high), any_value(tick_size) from {table} join instruments using (symbol) group by symbol"
    ):
        assert isinstance(high, Decimal)
        assert to_ticks(high, size) > 0


def test_instruments_have_their_exchanges_specification(market: duckdb.DuckDBPyConnection) -> None:
    """Tick sizes and values are exact."""
    found = {row[0]: row[1:] for row in _all(market, "select symbol, tick_size, tick_value from instruments")}
    assert found == {
        "ES": (Decimal("0.25"), Decimal("12.50")),
        "CL": (Decimal("0.01"), Decimal(10)),
        "GC": (Decimal("0.10"), Decimal(10)),
        "ZB": (Decimal(1) / 32, Decimal("31.25")),
        "6E": (Decimal("0.00005"), Decimal("6.25")),
    }


@pytest.mark.parametrize("table", ["bars_5m", "bars_1d"])
def test_wider_bars_aggregate_the_minutes(market: duckdb.DuckDBPyConnection, table: str) -> None:
    """Open is from the first minute, close from the last; high and low are extremes; volume is the sum."""
    begins = "ts" if table == "bars_5m" else "trade_date"
    bars = f"select symbol, {begins}, open, high, low, close, volume from {table}"
    for symbol, moment, *bar in _all(market, f"{bars} using sample reservoir(40 rows) repeatable (7)"):
        when = f"time_bucket(interval 5 minutes, ts) = '{moment}'" if begins == "ts" else f"trade_date = '{moment}'"
        prices = "select open, high, low, close, volume from bars_1m"
        minutes = _all(market, f"{prices} where symbol = '{symbol}' and {when} order by ts")
        opens, highs, lows, closes, volumes = zip(*minutes, strict=True)
        assert bar == [opens[0], max(highs), min(lows), closes[-1], sum(volumes)]


def test_a_session_has_every_minute(market: duckdb.DuckDBPyConnection) -> None:
    """It has 23 hours of minutes from 17:00 to 16:00 in Chicago, before and after the change of clocks."""
    rows = _all(
        market,
        "select trade_date, count(*), min(ts)::varchar, max(ts)::varchar from bars_1m where symbol = 'ES' "
        "and trade_date in ('2026-10-30', '2026-11-02') group by trade_date order by trade_date",
    )
    assert [row[1] for row in rows] == [1380, 1380]
    assert [row[2][11:] for row in rows] == ["22:00:00", "23:00:00"]
    assert [row[3][11:] for row in rows] == ["20:59:00", "21:59:00"]


def test_every_build_has_the_same_rows(market: duckdb.DuckDBPyConnection, trading: Path, tmp_path: Path) -> None:
    """A second build has the same rows as the first, and both match the recorded hash."""
    again = tmp_path / "again.duckdb"
    demo_data.build(again)
    market.execute(f"attach '{again}' as again (read_only)")
    for table in ("instruments", *_BARS):
        assert _all(market, f"select * from {table} except all select * from again.{table}") == []
        assert _all(market, f"select count(*) from {table}") == _all(market, f"select count(*) from again.{table}")
    assert _all(
        market, "select open, high, low, close, volume from bars_1m where symbol = 'ZB' order by ts limit 1"
    ) == [(Decimal("117.03125"), Decimal("117.0625"), Decimal("117.03125"), Decimal("117.0625"), 58)]
    assert trading.stat().st_size < 10_000_000


def test_the_command_builds_at_the_given_path(tmp_path: Path) -> None:
    """`python -m local demo-data PATH` also creates the folder, and replaces an existing file."""
    path = tmp_path / "new" / "market.duckdb"
    path.parent.mkdir()
    path.write_text("in the way")
    done = command("demo-data", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    with duckdb.connect(path, read_only=True) as connection:
        assert _all(connection, "select count(*) from bars_1m") == [(207_000,)]


def test_it_is_built_in_the_background_once(tmp_path: Path) -> None:
    """The database exists when the body has ended; an existing one is not changed."""
    path = tmp_path / "trading.duckdb"
    with demo_data.built_in_background(path):
        pass
    assert path.stat().st_size > 1_000_000
    path.write_text("mine")
    with demo_data.built_in_background(path), demo_data.built_in_background(None):
        pass
    assert path.read_text() == "mine"


def test_a_failed_build_is_an_error(tmp_path: Path) -> None:
    """A path that is not writable ends the start with the reason."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StackError, match="could not be built"),
        demo_data.built_in_background(tmp_path / "file" / "x.duckdb"),
    ):
        pass
