"""Questions about the data in SQL: two tools over DuckDB, which runs in a process of its own (functions/chat/sql)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from functions.chat.sql.workers import Workers, workers_over
from functions.chat.tools.contract import Tool, ToolAnswer, ToolRefusal
from shared.config import settings

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


def is_available() -> bool:
    """Whether there is a database file; without it the model does not get these tools."""
    return os.path.isfile(_database_name())  # noqa: PTH113 - each turn asks thrice, and Path takes ten times as long


def preload() -> None:
    """Starts the child process before the first query, for a turn with these tools. Never raises."""
    with contextlib.suppress(ToolRefusal):  # the call itself reports the error
        _workers().start_ahead()


async def _analyze(asked: AnalyzeData) -> ToolAnswer:
    content = await _ask({"operation": "query", "sql": asked.sql})
    return ToolAnswer(content, rows=content["row_count"])


async def _describe(asked: DescribeData) -> ToolAnswer:
    content = await _ask({"operation": "describe", "table": asked.table})
    return ToolAnswer(content, rows=len(content["tables"]))


ANALYZE_DATA: Final = Tool("analyze_data", AnalyzeData, _analyze, takes_turns=True)
DESCRIBE_DATA: Final = Tool("describe_data", DescribeData, _describe, takes_turns=True)


async def _ask(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The content of the reply. Raises ToolRefusal with the code and hint of an error."""
    answer = await _workers().ask(request)
    if "error" in answer:
        raise ToolRefusal(answer["error"], answer["hint"])
    content: Mapping[str, Any] = answer["content"]
    return content


def _workers() -> Workers:
    try:
        return workers_over(_database_path())
    except OSError:
        raise ToolRefusal("data_unavailable", "There is no database here; answer without it.") from None


def _database_path() -> Path:
    return Path(_database_name()).absolute()


def _database_name() -> str:
    return settings().get("DATABASE_PATH", "data/trading.duckdb")
