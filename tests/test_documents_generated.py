"""The generated documents: each equals what the code gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.errors import BY_CODE, ParleyError
from shared.variables import FIRST_NAMES, VARIABLES
from tools.documents import configuration, errors
from tools.documents.__main__ import pages

PAGES = pages()


@pytest.mark.parametrize("path", sorted(PAGES), ids=lambda path: path.name)
def test_a_checked_in_document_is_the_generated_one(path: Path) -> None:
    """`make docs` writes the documents; a change of code without it fails here."""
    assert path.read_text() == PAGES[path]


def test_every_error_has_a_row_with_a_reason_and_advice() -> None:
    """docs/errors.md has one row for each code: its status, when it occurs, and what the client does."""
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+?) \| (.+?) \|$", errors.page(), re.MULTILINE)
    own = [each for each in BY_CODE.values() if each is not ParleyError]
    assert sorted((int(status), code) for status, code, _, _ in rows) == sorted(
        (each.status, each.code) for each in own
    )
    assert all(when.endswith(".") and action.endswith(".") for _, _, when, action in rows)


def test_every_error_has_a_reason_of_its_own() -> None:
    """No class takes over the docstring of its parent."""
    assert [each.__name__ for each in BY_CODE.values() if "__doc__" not in vars(each) or not each.__doc__] == []


def test_every_variable_has_a_row_with_a_meaning_and_a_reader() -> None:
    """docs/configuration.md has one row for each variable, in the order of the table, and names its second names."""
    page = configuration.page()
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (.+?) \| (.*?) ?\| (.+?) \|$", page, re.MULTILINE)
    assert [name for name, _, _, _ in rows] == list(VARIABLES)
    assert all(re.search(r"[.)]$", meaning) for _, meaning, _, _ in rows)
    assert all(f"`{second}`" in page for second in FIRST_NAMES)


@pytest.mark.parametrize(
    ("name", "readers"),
    [
        ("SUPABASE_URL", ["chat", "llms", "refresh", "assist"]),
        ("SUPABASE_ANON_KEY", ["chat", "llms", "refresh", "assist"]),
        ("CRON_SECRET", ["refresh"]),
        ("DATABASE_PATH", ["chat", "assist"]),
    ],
)
def test_readers_are_the_functions_whose_code_reads_a_variable(name: str, readers: list[str]) -> None:
    """A variable that a shared module reads counts for the functions that load the module and use it."""
    assert configuration.readers_of(name) == readers
