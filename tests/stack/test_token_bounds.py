"""The token bounds of the functions and of the database are the same numbers."""

from __future__ import annotations

from base64 import b64encode

import pytest

from shared import token_bounds
from shared.files import File, message_with
from shared.messages import Document, Image, Message, Part
from tests.stack.turns import Database

TEXTS = ("", "a", "hello world", "héllo wörld", "日本語のテキスト", "🙂" * 50, "x" * 3000)


def _ask(db: Database, expression: str, *values: object) -> int:
    row = db.execute(f"select {expression} as n", values).fetchone()
    assert row is not None
    number: int = row["n"]
    return number


@pytest.mark.parametrize("text", TEXTS)
def test_the_upper_bound_of_a_message_is_the_same(db: Database, text: str) -> None:
    """SQL and Python give one token for each byte of UTF-8, and sixteen for the message."""
    bound = _ask(db, "private.token_upper_bound(%s)", text)
    assert bound == len(text.encode()) + 16
    assert bound == token_bounds.token_upper_bound([Message("user", text)])


@pytest.mark.parametrize("text", TEXTS)
def test_the_estimate_of_a_message_is_a_token_for_three_bytes(db: Database, text: str) -> None:
    """SQL and Python round up and add four for the message."""
    estimate = _ask(db, "private.estimate_tokens(%s)", text)
    assert estimate == -(-len(text.encode()) // 3) + 4
    assert estimate == token_bounds.estimate_prompt([Message("user", text)])


def test_the_constants_are_the_same(db: Database) -> None:
    """SQL and Python have the same assumed window, reserved output and maximum prompt."""
    assert _ask(db, "private.default_context_window()") == token_bounds.DEFAULT_CONTEXT_WINDOW
    assert _ask(db, "private.max_prompt_tokens()") == token_bounds.MAX_RESERVED_TOKENS
    assert _ask(db, "private.default_max_tokens()") == token_bounds.DEFAULT_OUTPUT_TOKENS


def test_the_tokens_of_files_are_the_same(db: Database) -> None:
    """An image and a page of a PDF count as much in SQL as in Python; a text counts its bytes and its name."""

    def stored(media_type: str, size: int, pages: int | None) -> tuple[int, int]:
        row = db.execute("select * from private.file_tokens(%s, %s, %s)", [media_type, size, pages]).fetchone()
        assert row is not None
        return row["tokens"], row["max_tokens"]

    def counted(*parts: Part) -> tuple[int, int]:
        message = Message("user", "", parts=parts)
        return token_bounds.file_tokens(message), token_bounds.token_upper_bound([message]) - 16

    assert stored("image/png", 5, None) == counted(Image("image/png", "A"))
    assert stored("application/pdf", 5, 7) == counted(Document("A", "a.pdf", 7))
    text = message_with([File("text/plain", b64encode(b"x" * 3000).decode(), "n" * 200)], "")
    estimate, bound = stored("text/plain", 3000, None)
    assert token_bounds.estimate_prompt([text]) <= estimate + 4
    assert token_bounds.token_upper_bound([text]) <= bound + 16
