"""The values of a turn."""

from __future__ import annotations

import dataclasses

import pytest

from shared.events import Finish, Reasoning, Text, Usage
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
