"""The values of a turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from shared.events import MAX_MERGED_CHARACTERS, Finish, ModelEvent, Reasoning, Text, Usage, merge_pieces
from shared.messages import Message, ModelRequest, Tool, ToolCall
from shared.routes import Attempt, Route

VALUES = [
    Text("hello"),
    Reasoning("hm"),
    ToolCall("1", "look", {"at": "it"}),
    Usage(1, 2),
    Finish("stop"),
    Message("user", "hello"),
    Tool("look", "Looks.", {"type": "object"}),
    ModelRequest("m", (), 10),
    Route("openai:m", "openai", "m", 10),
    Attempt("openai:m", "openai", ok=True, ms=1),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_of_a_turn_cannot_be_changed(value: Text) -> None:
    """The values of a turn are frozen and have no other attributes."""
    name = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, "changed")
    with pytest.raises((AttributeError, TypeError)):
        setattr(value, "extra", 1)  # noqa: B010 - the type checker is right that there is no such field


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_equal_values_are_equal(value: Text) -> None:
    """A value is its fields."""
    assert dataclasses.replace(value) == value


def test_usage_comes_from_the_provider_by_default() -> None:
    """Missing counts are zero, and their source is the provider."""
    assert Usage(1, 2) == Usage(1, 2, cached_tokens=0, reasoning_tokens=0, source="provider")


def test_successive_pieces_become_one() -> None:
    """Text and reasoning stay apart, and every other event keeps its place."""
    usage = Usage(1, 2)
    events: list[ModelEvent] = [Reasoning("h"), Reasoning("m"), Text("a"), Text("b"), usage, Text("c"), Finish("stop")]
    assert list(merge_pieces(events)) == [Reasoning("hm"), Text("ab"), usage, Text("c"), Finish("stop")]


def test_pieces_do_not_merge_without_bound() -> None:
    """The gateway cuts a host off that sends too much, and passes on what came before."""
    merged = list(merge_pieces([Text("x" * 1_000)] * 50))
    assert all(isinstance(each, Text) and len(each.text) <= MAX_MERGED_CHARACTERS for each in merged)
    assert len(merged) == 13


def test_an_error_comes_after_the_pieces_before_it() -> None:
    """What a host sent before it failed is part of the answer."""

    def failing() -> Iterator[ModelEvent]:
        yield from (Text("a"), Text("b"))
        raise ValueError("broken")

    merged = merge_pieces(failing())
    assert next(merged) == Text("ab")
    with pytest.raises(ValueError, match="broken"):
        next(merged)
