"""The OpenAPI document of each function, from its route table and its models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from functions.assist.main import TABLE as ASSIST
from functions.chat.main import TABLE as CHAT
from functions.llms.main import TABLE as LLMS
from functions.refresh.main import TABLE as REFRESH
from shared.endpoint import Handler
from tools.openapi import assist, chat, llms, refresh


def documents() -> dict[str, dict[str, Any]]:
    """The documents by function name."""
    return {
        "chat": chat.document(_names(CHAT)),
        "llms": llms.document(_names(LLMS)),
        "refresh": refresh.document(_names(REFRESH)),
        "assist": assist.document(_names(ASSIST)),
    }


def _names(table: Mapping[str, Handler]) -> dict[str, str]:
    """Handler names by route; a partial has the name of its function."""
    return {route: getattr(handler, "func", handler).__name__ for route, handler in table.items()}


def text_of(document: dict[str, Any]) -> str:
    """The document as it is checked in."""
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
