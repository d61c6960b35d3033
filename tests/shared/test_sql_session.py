"""The allow-list and DuckDB's own locks, called directly: refused queries, allowed queries, and results."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from shared.sql import session as session_module
from shared.sql.session import CONFIG, Session
from tests.shared.sql_queries import HONEST, REFUSED


@pytest.fixture(scope="module")
def session(trading: Path) -> Iterator[Session]:
    """Over the demo market, in this process: nothing here is a bomb."""
    with contextlib.closing(Session(trading)) as opened:
        yield opened


def _ask(session: Session, sql: str) -> dict[str, Any]:
    return session.answer({"operation": "query", "sql": sql})


def _rows(session: Session, sql: str) -> Any:
    return _ask(session, sql)["content"]["rows"]


@pytest.mark.parametrize("sql", REFUSED, ids=lambda sql: sql[:60])
def test_a_way_out_is_refused_and_the_next_honest_query_is_right(session: Session, sql: str) -> None:
    """A query outside the allow-list returns a hint and does not affect the next one."""
    answer = _ask(session, sql)
    assert answer["error"] == "query_not_allowed"
    assert answer["hint"]
    assert _rows(session, "select count(*) from bars_1d") == [[150]]


@pytest.mark.parametrize("sql", HONEST, ids=lambda sql: sql[:60])
def test_an_analysts_query_is_answered(session: Session, sql: str) -> None:
    """Joins, windows, CTEs, quantiles, dates and PIVOT … IN are allowed."""
    assert _ask(session, sql)["content"]["rows"]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_text('/etc/passwd')",
        "select * from read_csv('/etc/passwd')",
        "select * from glob('/etc/*')",
        "select * from '/etc/passwd'",
        "select * from read_parquet('https://example.com/x.parquet')",
        "with gone as (delete from bars_1d returning *) select * from gone",
    ],
)
def test_duckdb_holds_what_would_pass_the_allow_list(
    session: Session, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even without the allow-list DuckDB refuses files, network and writes."""
    monkeypatch.setattr(session_module, "check", lambda *_: None)
    assert _ask(session, sql)["error"] == "query_failed"
    assert _rows(session, "select count(*) from bars_1d") == [[150]]


def test_settings_cannot_be_changed(trading: Path) -> None:
    """The configuration is locked for every connection."""
    with duckdb.connect(trading, config=CONFIG) as connection:
        for statement in ("set enable_external_access = true", "set memory_limit = '9GB'", "set threads = 9"):
            with pytest.raises(duckdb.Error, match="locked"):
                connection.cursor().execute(statement)


def test_values_come_back_exact(session: Session) -> None:
    """Decimals and large integers are text, doubles have 15 digits, times are ISO 8601, all is valid JSON."""
    sql = """select 1.10::decimal(18, 5), 0.1::double + 0.2::double, 'nan'::double, '-inf'::double, 2::bigint ** 2,
        170141183460469231731687303715884105727::hugeint, 9007199254740993, 7::utinyint, true, null,
        timestamp '2026-10-01 10:00:00.5', timestamptz '2026-10-01 10:00:00+02', date '2026-10-01', time '17:00',
        interval 1 month, [1.50, 2], {'a': 1}, 'infinity'::timestamp"""
    assert _rows(session, sql) == [
        [
            *("1.10000", 0.3, "NaN", "-Infinity", 4.0),
            *("170141183460469231731687303715884105727", "9007199254740993", 7, True, None),
            *("2026-10-01T10:00:00.5", "2026-10-01T08:00:00+00:00", "2026-10-01", "17:00:00"),
            *("1 month", "[1.50, 2.00]", "{'a': 1}", "infinity"),
        ]
    ]


def test_an_order_survives(session: Session) -> None:
    """Rows keep the query's order, and two columns with one name stay two."""
    content = _ask(session, "select close, close from bars_1m where symbol = 'ES' order by close desc")["content"]
    closes = [float(row[0]) for row in content["rows"]]
    assert closes == sorted(closes, reverse=True)
    assert content["columns"] == ["close", "close"]


def test_many_rows_are_cut_and_marked(session: Session) -> None:
    """200 rows at most, and `truncated` says that there were more."""
    content = _ask(session, "select range from range(201)")["content"]
    assert (content["row_count"], content["truncated"]) == (200, True)
    content = _ask(session, "select range from range(200)")["content"]
    assert (content["row_count"], content["truncated"]) == (200, False)


def test_a_huge_cell_is_cut(session: Session) -> None:
    """One cell holds a thousand characters, and `truncated` says that there were more."""
    content = _ask(session, "select string_agg(symbol, '') from bars_1m")["content"]
    assert len(content["rows"][0][0]) == 1_001
    assert content["truncated"]


def test_a_wide_result_is_cut_or_refused(session: Session) -> None:
    """24 KB at most: fewer rows; when not even one fits, the hint asks for fewer columns."""
    wide = ", ".join(["string_agg(symbol, '')"] * 20)
    content = _ask(session, f"select {wide} from bars_1m group by trade_date")["content"]
    assert content["truncated"]
    assert content["row_count"] == 1
    wide = ", ".join(["string_agg(symbol, '')"] * 30)
    assert _ask(session, f"select {wide} from bars_1m")["error"] == "result_too_large"
    assert _ask(session, f"select {', '.join(['1'] * 101)}")["error"] == "result_too_large"


def test_an_error_has_duckdbs_message(session: Session) -> None:
    """An unknown column returns the candidates, without an excerpt of the query that was run."""
    answer = _ask(session, "select clos from bars_1d")
    assert answer["error"] == "query_failed"
    assert '"close"' in answer["hint"]
    assert "left(" not in answer["hint"]


def test_a_path_in_a_message_is_left_out(session: Session, trading: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of DuckDB about a file does not contain its path."""
    monkeypatch.setattr(session_module, "check", lambda *_: None)
    answer = _ask(session, f"select * from read_text('{trading}')")
    assert str(trading.parent) not in answer["hint"]


def test_every_table_is_described(session: Session) -> None:
    """Tables have columns with types and notes, row counts and the time that they cover."""
    content = session.answer({"operation": "describe", "table": None})["content"]
    tables = {table["name"]: table for table in content["tables"]}
    assert set(tables) == {"bars_1d", "bars_1m", "bars_5m", "instruments"}
    assert tables["bars_1d"]["rows"] == 150
    assert (tables["bars_1d"]["from"], tables["bars_1d"]["to"]) == ("2026-09-28", "2026-11-06")
    assert tables["instruments"]["columns"]["tick_size"].startswith("DECIMAL(18,5) - ")
    assert "UTC" in tables["bars_1m"]["columns"]["ts"]
    assert len(str(content)) < 4_000


def test_one_table_is_described(session: Session) -> None:
    """A table is found in any letter case; an unknown name returns the existing ones."""
    content = session.answer({"operation": "describe", "table": "BARS_1D"})["content"]
    assert [table["name"] for table in content["tables"]] == ["bars_1d"]
    answer = session.answer({"operation": "describe", "table": "x'; drop table bars_1d"})
    assert "bars_1m" in answer["hint"]


def test_an_odd_database_is_described_too(tmp_path: Path) -> None:
    """Quotes in names, views that cannot be read and hundreds of tables give a bounded description."""
    path = tmp_path / "odd.duckdb"
    with duckdb.connect(path) as database:
        (tmp_path / "x.csv").write_text("a\n1\n")
        database.execute(f"create view unreachable as select * from read_csv('{tmp_path / 'x.csv'}')")
        database.execute('create table "a ""quoted"" one" ("the ""time""" timestamp)')
        for number in range(300):
            database.execute(f"create table t{number} (a_rather_long_column_name int, another_long_column_name int)")
    with contextlib.closing(Session(path)) as session:
        content = session.answer({"operation": "describe"})["content"]
    tables = {table["name"]: table for table in content["tables"]}
    assert "rows" not in tables["unreachable"]
    assert tables['a "quoted" one']["rows"] == 0
    assert content["truncated"]
    assert len(tables) == 302
    assert len(str(content)) < 40_000
