"""The body of OpenAI's chat completions."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from starlette.requests import Request

from functions.chat.completion_messages import AnyMessage, conversation_of, fault_of, question_of
from functions.chat.completion_tools import (
    Choice,
    FunctionTool,
    NamedChoice,
    ObjectFormat,
    Open,
    SchemaFormat,
    TextFormat,
)
from functions.chat.request import MAX_TOKENS, Name, unknown_fields, within_bounds
from shared.body import parse_body, read_body
from shared.gateway import Options
from shared.messages import ANY_OBJECT, PLAIN_FORMAT, Format, Message
from shared.parameters import Wishes

MAX_BYTES = 4 * 1024 * 1024  # images are sent as text; both clouds take six megabytes

_PARAMETERS = (
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "seed",
    "reasoning_effort",
    "verbosity",
    "service_tier",
    "prompt_cache_key",
)
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "top_p": (None, 1),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "min_p": (None, 0),
    "top_k": (None, 0, -1),  # -1: all, as vLLM writes it
    "logit_bias": (None, {}),
    "service_tier": (None, "auto", "default"),
}

StopText = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class StreamOptions(Open):
    """What a stream sends besides the answer."""

    include_usage: bool = False
    include_obfuscation: bool | None = None


Unit = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Level = Annotated[str, StringConstraints(min_length=1, max_length=20)]


class CompletionRequest(Open):
    """One stateless answer to the whole conversation, which the client keeps.

    Parameters go to models that take them. Other models, and unknown fields, are named in `X-Ignored-Params`.
    A field is refused when an answer without it would break a promise, such as `n` above 1. The log row has `metadata`;
    with `store: false` the row has no text.
    """

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": True})

    model: Name
    messages: Annotated[list[AnyMessage], Field(min_length=1, max_length=2000, fail_fast=True)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description=MAX_TOKENS)
    max_completion_tokens: int | None = Field(
        default=None, ge=1, le=1_000_000, description="The newer name of `max_tokens`; it wins when both are set."
    )
    temperature: float | None = Field(default=None, ge=0, le=2)
    stop: StopText | Annotated[list[StopText], Field(max_length=64, fail_fast=True)] | None = None
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
    top_p: Unit | None = None
    top_k: int | None = Field(default=None, ge=-1, le=1_000_000)
    min_p: Unit | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=1024)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    reasoning_effort: Level | None = None
    verbosity: Level | None = None
    service_tier: Level | None = None
    prompt_cache_key: Annotated[str, StringConstraints(max_length=1024)] | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None

    @field_validator("n", "logprobs", "top_logprobs", "audio", "modalities", "functions", "function_call")
    @classmethod
    def _promises_what_it_gives(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and (reason := _refusal_of(str(info.field_name), value)):
            raise ValueError(reason)
        return value

    @field_validator("metadata")
    @classmethod
    def _is_short(cls, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        return within_bounds(metadata)

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
        """The text of the last user message, else of the last instructions."""
        return question_of(self.messages)

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
    def wishes(self) -> Wishes:
        """What may have no effect: unknown fields, parameters and stop sequences."""
        temperature = {} if self.temperature is None else {"temperature": self.temperature}
        return Wishes(unknown_fields(self), self._parameters | temperature, self._stop)

    @property
    def _stop(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def _parameters(self) -> dict[str, Any]:
        """The further parameters of the model call; a neutral value is left out, as some models reject it."""
        asked = {name: getattr(self, name) for name in _PARAMETERS}
        return {name: value for name, value in asked.items() if value not in _NEUTRAL.get(name, (None,))}

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
            stop=self._stop,
            output_format=self._format(),
            parameters=self._parameters,
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


async def read_completion_request(request: Request) -> CompletionRequest:
    """The validated body. Raises InvalidRequest, BodyTooLarge, Unprocessable, …"""
    return parse_body(await read_body(request, MAX_BYTES), CompletionRequest)
