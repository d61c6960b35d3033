"""The checked-in OpenAPI documents; `python -m tests.documents` writes them anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from functions.chat.main import document as chat
from functions.llms.main import document as llms
from functions.refresh.main import document as refresh

DOCS = Path(__file__).resolve().parents[1] / "docs"


def documents() -> dict[str, dict[str, Any]]:
    """Each function's document, by its name."""
    return {"chat": chat(), "llms": llms(), "refresh": refresh()}


def path_of(name: str) -> Path:
    """Where the document of a function is kept."""
    return DOCS / f"openapi-{name}.json"


def text_of(document: dict[str, Any]) -> str:
    """As it stands in its file."""
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    for name, document in documents().items():
        path_of(name).write_text(text_of(document))
