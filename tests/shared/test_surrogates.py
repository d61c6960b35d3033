"""Repair of text that a host cut within a character."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events import CallPiece, Finish, ModelEvent, Reasoning, Text, Usage
from shared.messages import ProviderPayload, ToolCall
from shared.sanitize import sanitize_text
from shared.surrogates import SurrogateRepair

_CALL = ToolCall("c1", "look", {})


def _joined(events: Iterable[ModelEvent]) -> list[ModelEvent]:
    joiner = SurrogateRepair()
    return [each for event in events for each in joiner.joined(event)]


def _units(text: str) -> list[str]:
    """The text's UTF-16 units, half characters where it has such."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return [raw[place : place + 2].decode("utf-16-le", "surrogatepass") for place in range(0, len(raw), 2)]


@given(st.text() | st.text(st.characters(categories=["Cs", "Cc", "So"])), st.lists(st.integers(0, 20), max_size=5))
@pytest.mark.parametrize("kind", [Text, Reasoning])
def test_text_is_sound_however_it_is_cut(kind: type[Text | Reasoning], text: str, cuts: list[int]) -> None:
    """Every piece can be encoded, and all pieces together are the whole text."""
    units = _units(text)
    ends = sorted({0, len(units), *(cut for cut in cuts if cut < len(units))})
    pieces = [kind("".join(units[a:b])) for a, b in pairwise(ends)]
    *received, last = _joined([*pieces, Finish("stop")])
    assert last == Finish("stop")
    assert all(isinstance(each, kind) and each.text.encode() for each in received)
    assert "".join(each.text for each in received if isinstance(each, kind)) == sanitize_text(text)


@pytest.mark.parametrize("other", [Reasoning("hm"), _CALL, Finish("stop")])
def test_a_half_that_stays_alone_is_sent_before_what_comes_next(other: ModelEvent) -> None:
    """A lone half is sent as the replacement character."""
    assert _joined([Text("a\ud83d"), other]) == [Text("a"), Text("\ufffd"), other]


def test_counts_between_two_halves_do_not_part_them() -> None:
    """A usage event between two halves does not separate them."""
    counts = Usage(1, 1)
    assert _joined([Text("\ud83d"), counts, Text("\ude80")]) == [counts, Text("\U0001f680")]


def test_what_a_provider_wants_back_is_sound_too() -> None:
    """The provider's own payload is repaired, because the next request contains it."""
    (received,) = _joined([Finish("tool_calls", ProviderPayload("anthropic", [{"text": "\ud83d\ude80 \ud83d"}]))])
    assert received == Finish("tool_calls", ProviderPayload("anthropic", [{"text": "\U0001f680 \ufffd"}]))


def test_a_character_cut_between_two_pieces_of_a_call_is_joined() -> None:
    """Also when the pieces of another call come in between; NUL is replaced."""
    high, low = _units("🚀")
    other = CallPiece("c2", "look", "{}")
    events = _joined([CallPiece("c1", "look", "a" + high), other, CallPiece("c1", "look", low + "b\0")])
    assert events == [CallPiece("c1", "look", "a"), other, CallPiece("c1", "look", "🚀b\ufffd")]
