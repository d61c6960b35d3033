"""The body of OpenAI's responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from functions.chat.protocols.completions.messages import ToolName
from functions.chat.protocols.completions.sampling import Level, Unit
from functions.chat.protocols.completions.tools import ObjectFormat, TextFormat
from functions.chat.protocols.conversation import has_too_many_values
from functions.chat.protocols.messages.blocks import LongToolName
from functions.chat.protocols.responses.items import Items, arguments_of
from functions.chat.request import MAX_TOKENS, Name, unknown_fields, within_bounds
from shared.messages import ANY_OBJECT, PLAIN_FORMAT, Format, Tool
from shared.model_request import Options
from shared.parameters import Wishes

_NEUTRAL_TIERS = {None, "auto", "default"}
_WITHOUT_EFFECT = ("truncation", "user", "safety_identifier", "stream_options", "max_tool_calls")
_CUSTOM = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


class _Open(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)


class ResponsesTool(_Open):
    """A function, or a custom tool with text as its input. Tools of other types, OpenAI's own, are left out."""

    type: Annotated[str, StringConstraints(max_length=100)]
    name: LongToolName | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: dict[str, Any] | None = None

    def offered(self) -> Tool | None:
        """The definition that a model gets; None for another type."""
        if self.type == "function" and self.name:
            parameters = self.parameters or {"type": "object", "properties": {}}
            return Tool(self.name, self.description or "", parameters, self.strict)
        if self.type == "custom" and self.name:
            grammar = (self.format or {}).get("definition")
            words = f"\n\nThe input has this grammar:\n{grammar}" if isinstance(grammar, str) else ""
            return Tool(self.name, f"{self.description or ''}{words}", _CUSTOM)
        return None


class ToolReference(_Open):
    """The tool that must be called, or with `allowed_tools` whether any must."""

    type: Annotated[str, StringConstraints(max_length=100)]
    name: LongToolName | None = None
    mode: Literal["auto", "required"] | None = None


class AnswerSchema(_Open):
    """JSON of a schema."""

    type: Literal["json_schema"]
    name: ToolName
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class TextConfig(_Open):
    """The format of the answer, and how long it is."""

    format: Annotated[TextFormat | ObjectFormat | AnswerSchema, Field(discriminator="type")] | None = None
    verbosity: Level | None = None


class Reasoning(_Open):
    """How much the model thinks."""

    effort: Level | None = None
    summary: Level | None = None


class ConversationId(_Open):
    """One of the user's conversations."""

    id: Annotated[str, StringConstraints(max_length=200)]


class ResponsesRequest(_Open):
    """One answer in OpenAI's newer format; any model of the catalogue can give it.

    Parameters go to models that take them. Other models, unknown fields and OpenAI's own tools are named in
    `X-Ignored-Params`. Unless `store` is false, question and answer are stored in a conversation, which
    `previous_response_id` continues.
    """

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": True})

    model: Name
    input: Items
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    previous_response_id: Annotated[str, StringConstraints(max_length=200)] | None = None
    conversation: Annotated[str, StringConstraints(max_length=200)] | ConversationId | None = None
    tools: Annotated[list[ResponsesTool], Field(max_length=256, fail_fast=True)] | None = None
    tool_choice: Literal["auto", "none", "required"] | ToolReference | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description=MAX_TOKENS)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: Unit | None = None
    include: Annotated[list[str], Field(max_length=50)] | None = None
    prompt_cache_key: Annotated[str, StringConstraints(max_length=1024)] | None = None
    service_tier: Level | None = None
    metadata: dict[str, Any] | None = None
    background: bool | None = Field(default=None, description="`true` is refused.")
    top_logprobs: int | None = Field(default=None, description="Above 0 it is refused.")
    prompt: dict[str, Any] | None = Field(default=None, description="Refused: there are no stored prompts.")

    @field_validator("background", "top_logprobs", "prompt")
    @classmethod
    def _promises_what_it_gives(cls, value: Any, info: ValidationInfo) -> Any:
        if value:
            reasons = {
                "background": "responses do not run in the background",
                "top_logprobs": "log probabilities are not available",
                "prompt": "there are no stored prompts",
            }
            raise ValueError(reasons[str(info.field_name)])
        return value

    @field_validator("metadata")
    @classmethod
    def _is_short(cls, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        return within_bounds(metadata)

    @field_validator("input")
    @classmethod
    def _has_bounded_arguments(cls, items: list[Any]) -> list[Any]:
        if has_too_many_values(arguments_of(items)):
            raise ValueError("the arguments of all calls have too many values")
        return items

    @field_validator("tool_choice")
    @classmethod
    def _is_among_the_tools(cls, choice: Any, info: ValidationInfo) -> Any:
        if "tools" in info.data:
            names = [tool.name for tool in info.data["tools"] or () if tool.offered()]
            if isinstance(choice, ToolReference) and choice.type in {"function", "custom"} and choice.name not in names:
                raise ValueError("tool_choice names a tool that is not in tools")
            if choice == "required" and not names:
                raise ValueError("there are no tools")
        return choice

    @property
    def conversation_id(self) -> str | None:
        """The id of the conversation that the request names."""
        named = self.conversation.id if isinstance(self.conversation, ConversationId) else self.conversation
        return named.removeprefix("conv_") if named else None

    @property
    def wants_encrypted_reasoning(self) -> bool:
        """Whether reasoning comes with what its provider wants back."""
        return "reasoning.encrypted_content" in (self.include or ())

    @property
    def wishes(self) -> Wishes:
        """What may have no effect: unknown fields, tools, items and parameters."""
        temperature = {} if self.temperature is None else {"temperature": self.temperature}
        return Wishes(tuple(self._ignored()), self._parameters() | temperature)

    @property
    def options(self) -> Options:
        """The options of the model call."""
        choice = self.tool_choice
        must_call: str | bool = choice == "required"
        if isinstance(choice, ToolReference):
            must_call = (
                choice.name if choice.type in {"function", "custom"} and choice.name else choice.mode == "required"
            )
        offered = (tool.offered() for tool in self.tools or ())
        form = self.text.format if self.text else None
        any_object = ANY_OBJECT if isinstance(form, ObjectFormat) else None
        return Options(
            temperature=self.temperature,
            tools=tuple(tool for tool in offered if tool is not None),
            may_call_tools=choice != "none",
            must_call=must_call,
            may_call_in_parallel=self.parallel_tool_calls is not False,
            output_schema=form.schema_ if isinstance(form, AnswerSchema) else any_object,
            output_format=_format_of(form),
            parameters=self._parameters(),
        )

    def echo(self) -> dict[str, Any]:
        """The fields that the response repeats."""
        return {
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata or {},
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "previous_response_id": self.previous_response_id,
            "reasoning": {"effort": self.reasoning.effort if self.reasoning else None, "summary": None},
            "store": self.store is not False,
            "temperature": self.temperature,
            "text": {"format": {"type": "text"}} | _fields(self.text),
            "tool_choice": _fields(self.tool_choice)
            if isinstance(self.tool_choice, ToolReference)
            else self.tool_choice or "auto",
            "tools": [_fields(tool) for tool in self.tools or ()],
            "top_p": self.top_p,
            "truncation": "disabled",
            "service_tier": "default",
        }

    def _ignored(self) -> Iterator[str]:
        yield from (name for name in unknown_fields(self) if name not in _WITHOUT_EFFECT)
        yield from (f"tools.{place}" for place, tool in enumerate(self.tools or ()) if tool.offered() is None)
        yield from (f"input.{place}" for place, item in enumerate(self.input) if item.type == "other")

    def _parameters(self) -> dict[str, Any]:
        asked = {
            "top_p": None if self.top_p == 1 else self.top_p,
            "reasoning_effort": self.reasoning.effort if self.reasoning else None,
            "verbosity": self.text.verbosity if self.text else None,
            "service_tier": None if self.service_tier in _NEUTRAL_TIERS else self.service_tier,
            "prompt_cache_key": self.prompt_cache_key,
        }
        return {name: value for name, value in asked.items() if value is not None}


def _fields(part: BaseModel | None) -> dict[str, Any]:
    """The fields that the client sent; none of None."""
    return part.model_dump(by_alias=True, exclude_none=True) if part else {}


def _format_of(form: TextFormat | ObjectFormat | AnswerSchema | None) -> Format:
    return Format(form.name, form.description, form.strict) if isinstance(form, AnswerSchema) else PLAIN_FORMAT
