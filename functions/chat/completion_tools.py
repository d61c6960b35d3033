"""The tools and the answer's format in the body of OpenAI's chat completions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from functions.chat.completion_messages import ToolName
from shared.messages import Tool


class Open(BaseModel):
    """A part of the body, whose unknown fields are ignored."""

    # Built with the first request, so that a cold start for `POST /` does not wait for it.
    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)


class Function(Open):
    """A function of the client; `strict` goes to OpenAI-compatible hosts only."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Open):
    """A tool that the client runs when the model calls it."""

    type: Literal["function"]
    function: Function

    def offered(self) -> Tool:
        """The definition that a model gets."""
        parameters = self.function.parameters or {"type": "object", "properties": {}}
        return Tool(self.function.name, self.function.description or "", parameters, self.function.strict)


class NamedFunction(Open):
    """The name of one of the tools."""

    name: ToolName


class NamedChoice(Open):
    """The tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


Choice = Literal["auto", "none", "required"] | NamedChoice | None


class TextFormat(Open):
    """Free text."""

    type: Literal["text"]


class ObjectFormat(Open):
    """Any JSON object."""

    type: Literal["json_object"]


class Schema(Open):
    """A JSON Schema that the answer must fit; the other fields go to OpenAI-compatible hosts."""

    name: ToolName
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class SchemaFormat(Open):
    """JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: Schema
