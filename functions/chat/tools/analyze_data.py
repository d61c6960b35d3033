"""Questions about the data in SQL: two tools over DuckDB, which runs in a process of its own (shared/sql)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from functions.chat.tools.contract import Tool, ToolAnswer, ToolRefusal
from shared.sql.questions import AnalyzeData, DataRefusal, DescribeData, ask, is_available, preload

__all__ = ["ANALYZE_DATA", "DESCRIBE_DATA", "AnalyzeData", "DescribeData", "is_available", "preload"]


async def _analyze(asked: AnalyzeData) -> ToolAnswer:
    content = await _ask(asked)
    return ToolAnswer(content, rows=content["row_count"])


async def _describe(asked: DescribeData) -> ToolAnswer:
    content = await _ask(asked)
    return ToolAnswer(content, rows=len(content["tables"]))


ANALYZE_DATA: Final = Tool("analyze_data", AnalyzeData, _analyze, takes_turns=True)
DESCRIBE_DATA: Final = Tool("describe_data", DescribeData, _describe, takes_turns=True)


async def _ask(asked: AnalyzeData | DescribeData) -> Mapping[str, Any]:
    """The content of the reply. Raises ToolRefusal with the code and hint of an error."""
    try:
        return await ask(asked)
    except DataRefusal as refusal:
        raise ToolRefusal(refusal.code, refusal.hint) from None
