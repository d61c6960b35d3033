"""The checked-in OpenAPI documents; `python -m tests.documents` writes them anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from functions.chat import openapi as chat
from functions.chat.main import TABLE as CHAT
from functions.llms import openapi as llms
from functions.llms.main import TABLE as LLMS
from functions.refresh import openapi as refresh
from functions.refresh.main import TABLE as REFRESH
from shared.endpoint import Handler

DOCS = Path(__file__).resolve().parents[1] / "docs"


def documents() -> dict[str, dict[str, Any]]:
    """Each function's document, by its name."""
    return {
        "chat": chat.document(_names(CHAT)),
        "llms": llms.document(_names(LLMS)),
        "refresh": refresh.document(_names(REFRESH)),
    }


def _names(table: Mapping[str, Handler]) -> dict[str, str]:
    return {route: handler.__name__ for route, handler in table.items()}


def path_of(name: str) -> Path:
    """Where the document of a function is kept."""
    return DOCS / f"openapi-{name}.json"


def text_of(document: dict[str, Any]) -> str:
    """As it stands in its file."""
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    for name, document in documents().items():
        path_of(name).write_text(text_of(document))
