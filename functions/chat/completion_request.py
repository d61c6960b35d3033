"""The body of OpenAI's chat completions."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from starlette.requests import Request

from functions.chat.completion_messages import AnyMessage, ToolName, conversation_of, fault_of
from functions.chat.request import MAX_TOKENS, Name
from shared.body import parse_body, read_body
from shared.gateway import Options
from shared.messages import ANY_OBJECT, PLAIN_FORMAT, Format, Message, Tool

MAX_BYTES = 4 * 1024 * 1024  # images are sent as text; both clouds take six megabytes

StopText = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Strict(BaseModel):
    # Built with the first request, so that a cold start for `POST /` does not wait for it.
    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class Function(_Strict):
    """A function of the client; `strict` goes to OpenAI-compatible hosts only."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(_Strict):
    """A tool that the client runs when the model calls it."""

    type: Literal["function"]
    function: Function

    def offered(self) -> Tool:
        """The definition that a model gets."""
        parameters = self.function.parameters or {"type": "object", "properties": {}}
        return Tool(self.function.name, self.function.description or "", parameters, self.function.strict)


class NamedFunction(_Strict):
    """The name of one of the tools."""

    name: ToolName


class NamedChoice(_Strict):
    """The tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


Choice = Literal["auto", "none", "required"] | NamedChoice | None


class TextFormat(_Strict):
    """Free text."""

    type: Literal["text"]


class ObjectFormat(_Strict):
    """Any JSON object."""

    type: Literal["json_object"]


class Schema(_Strict):
    """A JSON Schema that the answer must fit; the other fields go to OpenAI-compatible hosts."""

    name: ToolName
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class SchemaFormat(_Strict):
    """JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: Schema


class StreamOptions(_Strict):
    """What a stream sends besides the answer."""

    include_usage: bool = False
    include_obfuscation: bool | None = None


class CompletionRequest(_Strict):
    """One stateless answer to the whole conversation, which the client keeps.

    A field that would change the answer, and that some providers lack, is accepted at its neutral value only.
    The client's own ids (`user`, …) and hints (`seed`, `service_tier`, …) are accepted and ignored. The log row has
    `metadata`; with `store: false` the row has no text.
    """

    model: Name
    messages: Annotated[list[AnyMessage], Field(min_length=1, max_length=2000, fail_fast=True)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description=MAX_TOKENS)
    max_completion_tokens: int | None = Field(
        default=None, ge=1, le=1_000_000, description="The newer name of `max_tokens`; it wins when both are set."
    )
    temperature: float | None = Field(default=None, ge=0, le=2)
    stop: StopText | Annotated[list[StopText], Field(max_length=4, fail_fast=True)] | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128, fail_fast=True)] | None = None
    tool_choice: Choice = None
    parallel_tool_calls: bool | None = None
    response_format: Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")] | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    top_p: Annotated[float, Field(ge=1, le=1)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logprobs: Literal[False] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=0)] | None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    audio: None = None
    function_call: None = None
    functions: None = None
    prediction: None = None
    reasoning_effort: None = None
    verbosity: None = None
    web_search_options: None = None
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    seed: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: Literal["auto", "default"] | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = Field(default=None, max_length=16)

    @field_validator("messages")
    @classmethod
    def _can_be_answered(cls, messages: list[AnyMessage]) -> list[AnyMessage]:
        if fault := fault_of(messages):
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
        return conversation_of(self.messages)

    @cached_property
    def question(self) -> str:
        """The text of the last user message."""
        return next((m.content for m in reversed(self.conversation) if m.role == "user"), "")

    @property
    def needs(self) -> tuple[str, ...]:
        """The abilities that the request needs, by their names in the catalogue."""
        wanted = {
            "supports_tools": bool(self.tools),
            "supports_vision": any(message.images for message in self.conversation),
            "supports_json": self._schema() is not None,
        }
        return tuple(ability for ability, is_needed in wanted.items() if is_needed)

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @cached_property
    def options(self) -> Options:
        """The options of the model call."""
        choice = self.tool_choice
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return Options(
            temperature=self.temperature,
            tools=tuple(tool.offered() for tool in self.tools or ()),
            may_call_tools=choice != "none",
            must_call=choice.function.name if isinstance(choice, NamedChoice) else choice == "required",
            may_call_in_parallel=self.parallel_tool_calls is not False,
            output_schema=self._schema(),
            stop=stop,
            output_format=self._format(),
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


def _names(tools: list[FunctionTool] | None) -> list[str]:
    return [tool.function.name for tool in tools or ()]


async def read_completion_request(request: Request) -> CompletionRequest:
    """The validated body. Raises InvalidRequest, BodyTooLarge, Unprocessable, …"""
    return parse_body(await read_body(request, MAX_BYTES), CompletionRequest)
