"""The tools a model may be given: one line each."""

from __future__ import annotations

from typing import Any

from functions.chat.tools.contract import Tool


def available_tools() -> tuple[Tool[Any], ...]:
    """Those that can work here, without loading what they work with."""
    return ()
