"""docs/api/database.md has the comments of the database."""

from __future__ import annotations

from typing import Any

import psycopg

from tools.documents import database
from tools.documents.__main__ import DATABASE


def test_the_checked_in_page_of_the_database_is_the_generated_one(db: psycopg.Connection[dict[str, Any]]) -> None:
    """`make docs-database` writes the page; a migration without it fails here."""
    assert DATABASE.read_text() == database.page(db)
