"""The tools over the data file: `describe_data` and `analyze_data`, as the models of chat have them."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any, TypeVar

from pydantic import BaseModel

from functions.assist.mcp.tool import READS, Caller, McpTool, Output
from shared.errors import DatabaseUnavailable, ParleyError, Unprocessable
from shared.sql.questions import AnalyzeData, DataRefusal, DescribeData, ask, is_available

Question = TypeVar("Question", AnalyzeData, DescribeData)


class Rows(BaseModel):
    """The rows of a query; `truncated` means that there were more."""

    columns: list[str]
    rows: list[list[Any]]
    row_count: int
    truncated: bool


class Tables(BaseModel):
    """The tables with their columns."""

    tables: list[dict[str, Any]]


async def _ask(_caller: Caller, asked: Question) -> Output:
    """The rows or tables. Raises Unprocessable with the code and hint of DuckDB's sandbox."""
    try:
        return Output(await ask(asked))
    except DataRefusal as refusal:
        raise _error(refusal) from None


def _error(refusal: DataRefusal) -> ParleyError:
    if refusal.code == "data_unavailable":
        return DatabaseUnavailable(refusal.hint)
    return Unprocessable(refusal.hint, param="sql", metadata={"reason": refusal.code})


DESCRIBE_DATA = McpTool(
    "describe_data",
    "Describe the data",
    cleandoc(DescribeData.__doc__ or ""),
    "chat",
    DescribeData,
    Tables.model_json_schema,
    _ask,
    annotations=READS,
    is_offered=is_available,
)
ANALYZE_DATA = McpTool(
    "analyze_data",
    "Analyse the data",
    cleandoc(AnalyzeData.__doc__ or ""),
    "chat",
    AnalyzeData,
    Rows.model_json_schema,
    _ask,
    annotations=READS,
    is_offered=is_available,
)
