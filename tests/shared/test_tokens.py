"""The estimate of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.tokens import estimate_tokens


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("The quick brown fox jumps over the lazy dog.", 9, 13),
        ("def add(a: int, b: int) -> int:\n    return a + b\n", 14, 26),
        ("3.14159265358979", 5, 9),
        ("Größe und Änderung", 4, 12),
        ("日本語のテキストです", 5, 12),
        ("Привет, как дела?", 4, 10),
        ("🙂🙂🙂", 3, 8),
        ("", 1, 1),
        (" \t ", 1, 1),
    ],
    ids=["english", "code", "number", "german", "japanese", "russian", "emoji", "empty", "blank"],
)
def test_estimates_are_near_what_tokenizers_count(text: str, least: int, most: int) -> None:
    """For each kind of text the estimate is within the given bounds."""
    assert least <= estimate_tokens(text) <= most


@given(st.text(), st.text())
def test_more_text_is_never_fewer_tokens(text: str, more: str) -> None:
    """Appending a line does not make a prompt cheaper."""
    assert estimate_tokens(text + "\n" + more) >= estimate_tokens(text)


@given(st.text(max_size=2000))
def test_an_estimate_stays_in_proportion_to_its_text(text: str) -> None:
    """An estimate is at least one token and at most slightly over one for each character."""
    assert 1 <= estimate_tokens(text) <= 1 + 1.3 * len(text)
