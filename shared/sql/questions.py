"""Questions about the data file: what a client or model may ask, and the answer of the child process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared.config import settings
from shared.sql.workers import Workers, workers_over

_SQL_CHARACTERS = 8_192


class AnalyzeData(BaseModel):
    """Answers a question about the market data with one DuckDB SQL SELECT, read-only. Call describe_data first.

    Joins, CTEs, window functions, QUALIFY, GROUP BY ALL, quantiles, time_bucket and PIVOT … IN are available. The
    answer holds at most 200 rows (`truncated` says that there were more): aggregate in SQL rather than reading bars.
    DECIMAL values, such as prices, come as exact text.
    """

    model_config = ConfigDict(extra="forbid")

    sql: str = Field(min_length=1, max_length=_SQL_CHARACTERS, description="One SELECT statement in DuckDB's dialect.")


class DescribeData(BaseModel):
    """Lists the tables: columns with types, units and notes, row counts, and the time that they cover."""

    model_config = ConfigDict(extra="forbid")

    table: str | None = Field(None, max_length=200, description="Only this table; without it, all of them.")


class DataRefusal(Exception):
    """The question cannot be answered: a machine code, and a hint for who asked."""

    def __init__(self, code: str, hint: str) -> None:
        super().__init__(code)
        self.code, self.hint = code, hint


def is_available() -> bool:
    """Whether there is a database file; without it nothing offers these questions."""
    return os.path.isfile(_database_name())  # noqa: PTH113 - each turn asks thrice, and Path takes ten times as long


def preload() -> None:
    """Starts the child process before the first query. Never raises."""
    with contextlib.suppress(DataRefusal):  # the call itself reports the error
        _workers().start_ahead()


async def ask(question: AnalyzeData | DescribeData) -> Mapping[str, Any]:
    """The content of the reply: rows with `row_count`, or `tables`. Raises DataRefusal."""
    request: dict[str, Any]
    if isinstance(question, AnalyzeData):
        request = {"operation": "query", "sql": question.sql}
    else:
        request = {"operation": "describe", "table": question.table}
    answer = await _workers().ask(request)
    if "error" in answer:
        raise DataRefusal(answer["error"], answer["hint"])
    content: Mapping[str, Any] = answer["content"]
    return content


def _workers() -> Workers:
    try:
        return workers_over(Path(_database_name()).absolute())
    except OSError:
        raise DataRefusal("data_unavailable", "There is no database here; answer without it.") from None


def _database_name() -> str:
    return settings().get("DATABASE_PATH", "data/trading.duckdb")
