"""Writes the generated documents: `python -m tools.documents`, and `python -m tools.documents database [URL]`."""

from __future__ import annotations

import sys
from pathlib import Path

from tools import openapi
from tools.documents import configuration, database, errors

DOCS = Path(__file__).resolve().parents[2] / "docs"
DATABASE = DOCS / "api" / "database.md"


def pages() -> dict[Path, str]:
    """The text of each document that needs no database, by its file."""
    found = {DOCS / f"openapi-{name}.json": openapi.text_of(each) for name, each in openapi.documents().items()}
    return found | {DOCS / "errors.md": errors.page(), DOCS / "configuration.md": configuration.page()}


def main(words: list[str]) -> None:
    """Writes the documents that the words of the command line ask for."""
    if words[:1] == ["database"]:
        DATABASE.write_text(database.page_of(words[1]) if words[1:] else database.page_of_migrations())
    else:
        for path, text in pages().items():
            path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
