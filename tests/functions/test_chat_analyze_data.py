"""The two tools as a turn uses them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from functions.chat.tools.analyze_data import (
    ANALYZE_DATA,
    DESCRIBE_DATA,
    AnalyzeData,
    DescribeData,
    is_available,
    preload,
)
from functions.chat.tools.contract import ToolRefusal
from local.environment import ROOT

pytestmark = pytest.mark.anyio


@pytest.fixture
def data(environ: Callable[..., None], trading: Path, sessions: None) -> None:  # noqa: ARG001 - order
    """The environment names the demo market."""
    environ(DATABASE_PATH=str(trading))


@pytest.mark.usefixtures("data")
async def test_a_question_is_answered_with_the_numbers_right() -> None:
    """describe_data, then analyze_data give exact prices and the number of rows for the log."""
    preload()
    described = await DESCRIBE_DATA.run(DescribeData())
    assert described.rows == 4
    sql = "select symbol, max(high) as high, count(*) as days from bars_1d where symbol in ('ZB', '6E') group by all"
    answer = await ANALYZE_DATA.run(AnalyzeData(sql=f"{sql} order by symbol"))
    assert answer.rows == 2
    assert answer.content == {
        "columns": ["symbol", "high", "days"],
        "rows": [["6E", "1.18765", 30], ["ZB", "123.75000", 30]],
        "row_count": 2,
        "truncated": False,
    }


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("select * from read_text('/etc/passwd')", "query_not_allowed"),
        ("select nothing from bars_1d", "query_failed"),
        (f"select {', '.join(['1'] * 101)}", "result_too_large"),
    ],
)
async def test_a_refusal_names_its_reason(sql: str, code: str) -> None:
    """A refused query returns a code and a hint for the model."""
    with pytest.raises(ToolRefusal) as refusal:
        await ANALYZE_DATA.run(AnalyzeData(sql=sql))
    assert refusal.value.code == code
    assert refusal.value.hint


async def test_without_a_file_there_is_no_tool(environ: Callable[..., None], tmp_path: Path) -> None:
    """The tools are not offered, and a call returns that there is no data."""
    environ(DATABASE_PATH=str(tmp_path / "none.duckdb"))
    assert not is_available()
    preload()
    with pytest.raises(ToolRefusal) as refusal:
        await DESCRIBE_DATA.run(DescribeData())
    assert refusal.value.code == "data_unavailable"


@pytest.mark.usefixtures("data")
def test_with_a_file_the_tools_are_offered() -> None:
    """Each tool has one parameter and a description for the model."""
    assert is_available()
    offered = ANALYZE_DATA.offered()
    assert (offered.name, list(offered.parameters["properties"])) == ("analyze_data", ["sql"])
    assert "DuckDB" in offered.description
    assert DESCRIBE_DATA.offered().parameters.get("required") is None


def test_more_than_eight_kilobytes_are_no_argument() -> None:
    """A query over 8 KB is refused before the child gets it."""
    with pytest.raises(ValidationError):
        AnalyzeData(sql="x" * 8_193)


def test_chat_never_loads_duckdb() -> None:
    """Importing and using the tools does not import DuckDB in this process."""
    script = "import sys, functions.chat.tools.analyze_data; print('duckdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
