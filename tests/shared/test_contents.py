"""Text and reasoning in the shapes of OpenAI-compatible hosts."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events import ModelEvent, Reasoning, Text, merge_pieces
from shared.providers.contents import ThinkTag, content_of, reasoning_of


@pytest.mark.parametrize(
    "content",
    [
        "yes",
        ["y", "es"],
        {"type": "text", "text": "yes"},
        [{"type": "text", "text": "y"}, {"type": "output_text", "text": "es"}],
        [{"type": "text", "text": {"value": "yes", "annotations": []}}, {"type": "reference", "ids": [1]}, None, 5],
    ],
)
def test_text_is_found_in_every_shape(content: Any) -> None:
    """Parts without text carry nothing."""
    assert list(merge_pieces(content_of(content))) == [Text("yes")]


def test_thinking_parts_are_reasoning() -> None:
    """Mistral sends them as lists inside a part."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}]
    assert list(content_of(parts)) == [Reasoning("hm"), Text("yes")]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "hm", "reasoning": "hm"},
        {"reasoning": "hm"},
        {"reasoning": {"text": "hm"}},
        {"thinking": "hm"},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "h"}, {"type": "reasoning.text", "text": "m"}]},
    ],
)
def test_reasoning_is_found_by_every_name(delta: dict[str, Any]) -> None:
    """It is read once when a host sends it twice."""
    assert reasoning_of(delta)[0] == "hm"


def _read(*pieces: str) -> list[ModelEvent]:
    tag = ThinkTag()
    events: list[ModelEvent] = [event for piece in pieces for event in tag.read(piece)]
    return list(merge_pieces([*events, *tag.rest()]))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_a_think_tag_at_the_start_is_reasoning(size: int) -> None:
    """However its characters are cut into pieces; the line ends after it belong to neither."""
    text = "\n<think>is a < b?</think>\n\nNo: <think> is text</think>."
    events = _read(*(text[n : n + size] for n in range(0, len(text), size)))
    joined = "".join(event.text for event in events if isinstance(event, Text))
    assert events[0] == Reasoning("is a < b?")
    assert joined.lstrip("\n") == "No: <think> is text</think>."


@pytest.mark.parametrize("text", ["A <think>b</think>", "<thing>", " <thin", "  ", "<think"])
def test_other_text_stays_text(text: str) -> None:
    """Also the half of a tag at the end of an answer."""
    assert _read(*text) == [Text(text)]


def test_an_open_tag_is_reasoning_to_the_end() -> None:
    """A model that is cut while it thinks has given no answer."""
    assert _read("<think>hm</", "th") == [Reasoning("hm</th")]
