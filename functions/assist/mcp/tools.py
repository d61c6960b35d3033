"""The tools of the MCP server: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from functions.assist.mcp.ask import ASK
from functions.assist.mcp.data import ANALYZE_DATA, DESCRIBE_DATA
from functions.assist.mcp.personal import MY_USAGE, SEARCH_MY_CHATS
from functions.assist.mcp.preset_tools import tool_of
from functions.assist.mcp.tool import McpTool
from functions.assist.presets import OFFERS

_ALL: Final[tuple[McpTool[Any], ...]] = (
    ASK,
    SEARCH_MY_CHATS,
    MY_USAGE,
    DESCRIBE_DATA,
    ANALYZE_DATA,
    *map(tool_of, OFFERS.values()),
)


def offered_tools() -> Mapping[str, McpTool[Any]]:
    """The tools of this deployment by name."""
    return {tool.name: tool for tool in _ALL if tool.is_offered()}
