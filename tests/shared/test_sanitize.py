"""Sanitised text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.sanitize import sanitize_text


def test_what_postgres_cannot_store_is_replaced() -> None:
    """NUL and lone surrogates become replacement characters, everything else stays."""
    assert sanitize_text({"a\x00": ["\ud800x", 1.5, None, "ä🧑‍🚀"]}) == {"a\ufffd": ["\ufffdx", 1.5, None, "ä🧑‍🚀"]}


def test_halves_of_a_character_that_came_apart_are_joined() -> None:
    """A host that cuts an emoji between two chunks leaves two surrogates; what is stored is the emoji."""
    assert sanitize_text("a" + "\ud83d" + "\ude00" + "b") == "a😀b"


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc", "So"])))
def test_whatever_is_stored_has_a_utf8_form(text: str) -> None:
    """Sanitised text can be encoded and has no NUL; valid text is unchanged."""
    stored = sanitize_text(text)
    assert "\x00" not in stored.encode().decode()
    assert stored == text or any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in text)
