"""The body of OpenAI's chat completions."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator
from starlette.requests import Request

from functions.chat.protocols.completions.messages import AnyMessage, arguments_of, conversation_of
from functions.chat.protocols.completions.sampling import Sampling
from functions.chat.protocols.completions.tools import (
    Choice,
    FunctionTool,
    NamedChoice,
    ObjectFormat,
    SchemaFormat,
    TextFormat,
)
from functions.chat.protocols.conversation import fault_of, for_provider, has_too_many_values, question_of
from functions.chat.protocols.stateless import StatelessRequest
from functions.chat.request import MAX_TOKENS
from shared.auth import Person
from shared.body import MAX_BYTES_WITH_FILES, parse_body, read_body
from shared.messages import ANY_OBJECT, PLAIN_FORMAT, Format, Message
from shared.model_request import Options


class CompletionRequest(Sampling):
    """One stateless answer to the whole conversation, which the client keeps.

    Parameters go to models that take them. Other models, and unknown fields, are named in `X-Ignored-Params`.
    A field is refused when an answer without it would break a promise, such as `n` above 1. The log row has `metadata`;
    with `store: false` the row has no text.
    """

    messages: Annotated[list[AnyMessage], Field(min_length=1, max_length=2000, fail_fast=True)]
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description=MAX_TOKENS)
    max_completion_tokens: int | None = Field(
        default=None, ge=1, le=1_000_000, description="The newer name of `max_tokens`; it wins when both are set."
    )
    tools: Annotated[list[FunctionTool], Field(max_length=128, fail_fast=True)] | None = None
    tool_choice: Choice = None
    parallel_tool_calls: bool | None = None
    response_format: Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")] | None = None
    n: int | None = Field(default=None, description="1: there is one answer.")
    logprobs: bool | None = Field(default=None, description="`true` is refused.")
    top_logprobs: int | None = Field(default=None, description="Above 0 it is refused.")
    audio: dict[str, Any] | None = Field(default=None, description="Refused: answers are text.")
    modalities: Annotated[list[str], Field(max_length=10, fail_fast=True)] | None = None
    functions: Annotated[list[Any], Field(max_length=128)] | None = Field(default=None, description="Use `tools`.")
    function_call: str | dict[str, Any] | None = Field(default=None, description="Use `tool_choice`.")

    @field_validator("n", "logprobs", "top_logprobs", "audio", "modalities", "functions", "function_call")
    @classmethod
    def _promises_what_it_gives(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and (reason := _refusal_of(str(info.field_name), value)):
            raise ValueError(reason)
        return value

    @field_validator("messages")
    @classmethod
    def _can_be_answered(cls, messages: list[AnyMessage]) -> list[AnyMessage]:
        if has_too_many_values(arguments_of(messages)):
            raise ValueError("the arguments of all calls have too many values")
        if fault := fault_of(conversation_of(messages)):
            raise ValueError(fault)
        return messages

    @field_validator("tools")
    @classmethod
    def _have_names_of_their_own(cls, tools: list[FunctionTool] | None) -> list[FunctionTool] | None:
        names = _names(tools)
        if len(set(names)) != len(names):
            raise ValueError("tool names must be unique")
        return tools

    @field_validator("tool_choice")
    @classmethod
    def _is_among_the_tools(cls, choice: Choice, info: ValidationInfo) -> Choice:
        if "tools" not in info.data:  # the tools have errors of their own
            return choice
        names = _names(info.data["tools"])
        if isinstance(choice, NamedChoice) and choice.function.name not in names:
            raise ValueError("tool_choice names a tool that is not in tools")
        if choice == "required" and not names:
            raise ValueError("there are no tools")
        return choice

    @cached_property
    def conversation(self) -> tuple[Message, ...]:
        """All messages in the form for a provider."""
        return for_provider(conversation_of(self.messages))

    @property
    def stateless(self) -> StatelessRequest:
        """The request in the form of every protocol."""
        messages = conversation_of(self.messages)
        return StatelessRequest(
            endpoint="chat.completions",
            model=self.model,
            conversation=for_provider(messages),
            question=question_of(messages),
            options=self.options,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            is_streamed=bool(self.stream),
            wishes=self.wishes,
            log_words=self.store is not False,
            metadata=self.metadata or {},
            wants_usage=self.wants_usage,
        )

    @cached_property
    def options(self) -> Options:
        """The options of the model call."""
        choice = self.tool_choice
        return Options(
            temperature=self.temperature,
            tools=tuple(tool.offered() for tool in self.tools or ()),
            may_call_tools=choice != "none",
            must_call=choice.function.name if isinstance(choice, NamedChoice) else choice == "required",
            may_call_in_parallel=self.parallel_tool_calls is not False,
            output_schema=self._schema(),
            stop=self.stops,
            output_format=self._format(),
            parameters=self.parameters,
        )

    def _format(self) -> Format:
        if not isinstance(self.response_format, SchemaFormat):
            return PLAIN_FORMAT
        schema = self.response_format.json_schema
        return Format(schema.name, schema.description, schema.strict)

    def _schema(self) -> dict[str, Any] | None:
        if isinstance(self.response_format, SchemaFormat):
            return self.response_format.json_schema.schema_
        return ANY_OBJECT if isinstance(self.response_format, ObjectFormat) else None


def _refusal_of(name: str, value: Any) -> str | None:
    """Why the field's value cannot be honoured; None when it can."""
    match name:
        case "n" if value != 1:
            return "Parley gives one answer, so n is 1"
        case "logprobs" | "top_logprobs" if value:
            return "log probabilities are not available"
        case "audio":
            return "answers are text, without audio"
        case "modalities" if set(value) - {"text"}:
            return "answers are text only"
        case "functions" | "function_call":
            return "functions are replaced by tools, and function_call by tool_choice"
        case _:
            return None


def _names(tools: list[FunctionTool] | None) -> list[str]:
    return [tool.function.name for tool in tools or ()]


async def read_completion_request(request: Request, _person: Person) -> StatelessRequest:
    """The validated request. Raises InvalidRequest, BodyTooLarge, Unprocessable, …"""
    return parse_body(await read_body(request, MAX_BYTES_WITH_FILES), CompletionRequest).stateless
