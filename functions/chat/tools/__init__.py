"""The tools for models: one line each."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any

from functions.chat.tools import analyze_data
from functions.chat.tools.analyze_data import ANALYZE_DATA, DESCRIBE_DATA
from functions.chat.tools.contract import Tool, offer
from functions.chat.tools.hand_off import NAME as HAND_OFF
from functions.chat.tools.hand_off import HandOff
from shared.token_bounds import token_upper_bound


def available_tools() -> tuple[Tool[Any], ...]:
    """The tools of this deployment, without loading their data."""
    return (DESCRIBE_DATA, ANALYZE_DATA) if analyze_data.is_available() else ()


def prepare(names: Collection[str]) -> None:
    """Starts to load the data of these tools while the model works."""
    if ANALYZE_DATA.name in names and analyze_data.is_available():
        analyze_data.preload()


def max_tool_tokens() -> int:
    """The most input tokens that the definitions of all tools can take."""
    return _max_tokens_with(available_tools())


@functools.cache
def _max_tokens_with(tools: tuple[Tool[Any], ...]) -> int:
    return token_upper_bound((), [*(tool.offered() for tool in tools), offer(HAND_OFF, HandOff)])
