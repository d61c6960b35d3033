"""The body of Anthropic's messages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from starlette.requests import Request

from functions.chat.protocols.completions.sampling import Level, StopText, Unit
from functions.chat.protocols.conversation import fault_of, for_provider, question_of
from functions.chat.protocols.messages.blocks import AnyTurn, LongToolName, Texts, instructions
from functions.chat.protocols.stateless import StatelessRequest
from functions.chat.request import MAX_TOKENS, Name, unknown_fields, within_bounds
from shared.auth import Person
from shared.body import MAX_BYTES_WITH_FILES, parse_body, read_body
from shared.messages import Message, Tool
from shared.model_request import Options
from shared.parameters import Wishes

_EFFORT_OF_BUDGET = ((4_096, "low"), (16_384, "medium"))  # tokens of thinking; more is high


class _Open(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)


class MessagesTool(_Open):
    """A tool that the client runs. One without `input_schema` is Anthropic's own, and is left out."""

    type: str | None = None
    name: LongToolName | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoice(_Open):
    """Whether tools may or must be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: LongToolName | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(_Open):
    """How the model thinks. Claude gets it unchanged, another model an effort for the budget."""

    type: Annotated[str, StringConstraints(max_length=50)]
    budget_tokens: int | None = Field(default=None, ge=0, le=1_000_000)
    display: Literal["summarized", "omitted"] | None = None

    @property
    def effort(self) -> str | None:
        """The `reasoning_effort` for other models; None when they decide."""
        if self.type != "enabled" or self.budget_tokens is None:
            return None
        return next((effort for most, effort in _EFFORT_OF_BUDGET if self.budget_tokens <= most), "high")


class OutputFormat(_Open):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(_Open):
    """The effort, and the format of the answer."""

    effort: Level | None = None
    format: OutputFormat | None = None


class MessagesRequest(_Open):
    """One stateless answer in Anthropic's format; the client keeps the conversation.

    Any model of the catalogue can answer. Parameters go to models that take them. Other models, unknown fields and
    Anthropic's own tools are named in `X-Ignored-Params`.
    """

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": True})

    model: Name
    messages: Annotated[list[AnyTurn], Field(min_length=1, max_length=2000, fail_fast=True)]
    system: Texts = []
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description=MAX_TOKENS)
    stream: bool | None = None
    stop_sequences: Annotated[list[StopText], Field(max_length=64, fail_fast=True)] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: Unit | None = None
    top_k: int | None = Field(default=None, ge=0, le=1_000_000)
    tools: Annotated[list[MessagesTool], Field(max_length=256, fail_fast=True)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = Field(default=None, description="The older name of `output_config.format`.")
    cache_control: dict[str, Any] | None = Field(default=None, description="Marks the last block for Claude's cache.")
    service_tier: Literal["auto", "standard_only"] | None = None
    metadata: dict[str, Any] | None = None

    @field_validator("metadata")
    @classmethod
    def _is_short(cls, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        return within_bounds(metadata)

    @field_validator("messages")
    @classmethod
    def _can_be_answered(cls, turns: list[AnyTurn]) -> list[AnyTurn]:
        if fault := fault_of(_messages_of(turns)):
            raise ValueError(fault)
        return turns

    @field_validator("tool_choice")
    @classmethod
    def _is_among_the_tools(cls, choice: ToolChoice | None, info: ValidationInfo) -> ToolChoice | None:
        if choice is not None and "tools" in info.data:
            names = [tool.name for tool in info.data["tools"] or () if tool.input_schema is not None]
            if choice.type == "tool" and choice.name not in names:
                raise ValueError("tool_choice names a tool that is not in tools")
            if choice.type == "any" and not names:
                raise ValueError("there are no tools")
        return choice

    @cached_property
    def conversation(self) -> tuple[Message, ...]:
        """All messages in the form for a provider."""
        return for_provider((*instructions(self.system), *_messages_of(self.messages)))

    @property
    def stateless(self) -> StatelessRequest:
        """The request in the form of every protocol."""
        return StatelessRequest(
            endpoint="messages",
            model=self.model,
            conversation=self.conversation,
            question=question_of(_messages_of(self.messages)),
            options=self._options(),
            max_tokens=self.max_tokens,
            is_streamed=bool(self.stream),
            wishes=Wishes(tuple(self._ignored()), self._parameters() | self._temperature(), self._stop),
            metadata=self.metadata or {},
        )

    @property
    def _stop(self) -> tuple[str, ...]:
        return tuple(self.stop_sequences or ())

    def _ignored(self) -> Iterator[str]:
        yield from unknown_fields(self)
        own = (place for place, tool in enumerate(self.tools or ()) if tool.input_schema is None)
        yield from (f"tools.{place}" for place in own)

    def _temperature(self) -> dict[str, Any]:
        return {} if self.temperature is None else {"temperature": self.temperature}

    def _parameters(self) -> dict[str, Any]:
        effort = self.output_config.effort if self.output_config else None
        asked: dict[str, Any] = {
            "top_p": None if self.top_p == 1 else self.top_p,
            "top_k": self.top_k or None,
            "reasoning_effort": effort or (self.thinking.effort if self.thinking else None),
            "thinking": self.thinking.model_dump(exclude_none=True) if self.thinking else None,
        }
        return {name: value for name, value in asked.items() if value is not None}

    def _options(self) -> Options:
        choice = self.tool_choice or ToolChoice(type="auto")
        form = self.output_format or (self.output_config.format if self.output_config else None)
        return Options(
            temperature=self.temperature,
            tools=tuple(
                Tool(tool.name, tool.description or "", tool.input_schema, tool.strict)
                for tool in self.tools or ()
                if tool.name and tool.input_schema is not None
            ),
            may_call_tools=choice.type != "none",
            must_call=choice.name or True if choice.type in {"any", "tool"} else False,
            may_call_in_parallel=not choice.disable_parallel_tool_use,
            output_schema=form.schema_ if form else None,
            stop=self._stop,
            parameters=self._parameters(),
        )


def _messages_of(turns: list[AnyTurn]) -> list[Message]:
    return [message for turn in turns for message in turn.messages()]


async def read_messages_request(request: Request, _person: Person) -> StatelessRequest:
    """The validated request. Raises InvalidRequest, BodyTooLarge, Unprocessable, …"""
    return parse_body(await read_body(request, MAX_BYTES_WITH_FILES), MessagesRequest).stateless
