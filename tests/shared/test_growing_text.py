"""A text in pieces is the text."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from shared.growing_text import GrowingText

_PIECES = st.lists(st.text(st.characters(exclude_categories=())))


@given(_PIECES, _PIECES)
def test_the_pieces_are_one_text(first: list[str], second: list[str]) -> None:
    """Line ends and halves of characters stay, and a part begins where a piece ended."""
    growing = GrowingText()
    for piece in first:
        growing.add(piece)
    start = len(growing)
    for piece in second:
        growing.add(piece)
    assert growing.text() == "".join(first + second)
    assert growing.text(start) == "".join(second)


def test_it_takes_little_more_memory_than_its_letters() -> None:
    """A thousand streams hold the answers that they have sent so far."""
    tracemalloc.start()
    growing = GrowingText()
    for number in range(1000):
        growing.add(f"token {number:3} ")
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1.5 * len(growing)
