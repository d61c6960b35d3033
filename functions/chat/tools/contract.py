"""What a tool is: a name, a model of its arguments, and an async function of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from shared.messages import Tool as OfferedTool

Arguments = TypeVar("Arguments", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a tool tells the model, a JSON object; `rows` where it counts them."""

    content: Mapping[str, Any]
    rows: int | None = None


class ToolRefusal(Exception):
    """The tool cannot do what was asked; the model is told `{"error": code, "hint": hint}` and may try otherwise."""

    def __init__(self, code: str, hint: str) -> None:
        super().__init__(code)
        self.code, self.hint = code, hint


@dataclass(frozen=True, slots=True)
class Tool(Generic[Arguments]):
    """A tool of ours. The docstring of `arguments` tells the model what the tool is for, its fields what they take.

    A turn makes calls of tools with `takes_turns` one after another: what they work with is there for everybody.
    """

    name: str
    arguments: type[Arguments]
    run: Callable[[Arguments], Awaitable[ToolAnswer]]
    takes_turns: bool = False

    def offered(self) -> OfferedTool:
        """As every provider is told of it."""
        return offer(self.name, self.arguments)


def offer(name: str, arguments: type[BaseModel]) -> OfferedTool:
    """A tool of that name as every provider is told of it: one JSON Schema, from the one model."""
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    schema.pop("description", None)
    return OfferedTool(name, cleandoc(arguments.__doc__ or ""), schema)
