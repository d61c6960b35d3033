"""A tool: a name, a model of its arguments, and an async function of them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from shared.messages import Tool as OfferedTool

Arguments = TypeVar("Arguments", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """A tool's result for the model, a JSON object; `rows` where it counts them."""

    content: Mapping[str, Any]
    rows: int | None = None


class ToolRefusal(Exception):
    """The tool cannot do what the model asks; the model gets `{"error": code, "hint": hint}` and may retry."""

    def __init__(self, code: str, hint: str) -> None:
        super().__init__(code)
        self.code, self.hint = code, hint


@dataclass(frozen=True, slots=True)
class Tool(Generic[Arguments]):
    """A tool of Parley. The docstring and the fields of `arguments` describe the tool to the model.

    The calls of a tool with `takes_turns` run one after another in a turn, because all turns share its resource.
    """

    name: str
    arguments: type[Arguments]
    run: Callable[[Arguments], Awaitable[ToolAnswer]]
    takes_turns: bool = False

    def offered(self) -> OfferedTool:
        """The definition for every provider."""
        return offer(self.name, self.arguments)


@functools.cache
def offer(name: str, arguments: type[BaseModel]) -> OfferedTool:
    """The provider-neutral tool definition, built once from the arguments model: its JSON Schema takes 1 ms."""
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    schema.pop("description", None)
    return OfferedTool(name, cleandoc(arguments.__doc__ or ""), schema)
