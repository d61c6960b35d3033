"""The token bounds of the functions and of the database are the same numbers."""

from __future__ import annotations

import pytest

from shared import token_bounds
from shared.messages import Message
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
