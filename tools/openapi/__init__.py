"""The OpenAPI document of each function, from its route table and its models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from functions.chat import openapi as chat
from functions.chat.main import TABLE as CHAT
from functions.llms import openapi as llms
from functions.llms.main import TABLE as LLMS
from functions.refresh import openapi as refresh
from functions.refresh.main import TABLE as REFRESH
from shared.endpoint import Handler


def documents() -> dict[str, dict[str, Any]]:
    """The documents by function name."""
    return {
        "chat": chat.document(_names(CHAT)),
        "llms": llms.document(_names(LLMS)),
        "refresh": refresh.document(_names(REFRESH)),
    }


def _names(table: Mapping[str, Handler]) -> dict[str, str]:
    return {route: handler.__name__ for route, handler in table.items()}


def text_of(document: dict[str, Any]) -> str:
    """The document as it is checked in."""
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
