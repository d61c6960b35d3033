"""The messages of OpenAI's chat completions: their validation, and their conversion to our own values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from functions.chat.protocols.conversation import written_call
from functions.chat.protocols.documents import document_in
from functions.chat.protocols.images import Detail, image_in
from shared.messages import CALLER, Image, Message, Part, ProviderPayload, Role

ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
CallId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Lenient(BaseModel):
    # SDKs send answers back with fields of their own (`parsed`, `index`, …), so unknown fields are ignored.
    # Built with the first request, to keep the cold start of chat short.
    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)


class TextPart(_Lenient):
    """A piece of text. Claude caches the prompt up to a part with `cache_control`."""

    type: Literal["text", "input_text", "output_text"]
    text: str | None
    cache_control: dict[str, Any] | None = None


class RefusalPart(_Lenient):
    """A refusal of a model that the client sends back."""

    type: Literal["refusal"]
    refusal: str


class ReasoningPart(_Lenient):
    """A model's reasoning that the client sends back; it is left out."""

    type: Literal["reasoning", "thinking", "redacted_thinking"]


class ImageUrl(_Lenient):
    """An image as a data: URL; addresses are not fetched."""

    url: str
    detail: Detail | None = None

    @field_validator("url")
    @classmethod
    def _is_an_image_itself(cls, url: str) -> str:
        image_in(url)
        return url


def _as_url(image: Any) -> Any:
    return {"url": image} if isinstance(image, str) else image


class ImagePart(_Lenient):
    """An image for the model."""

    type: Literal["image_url"]
    image_url: Annotated[ImageUrl, BeforeValidator(_as_url, json_schema_input_type=ImageUrl | str)]
    cache_control: dict[str, Any] | None = None

    def image(self) -> Image:
        """The image as our own value."""
        return image_in(self.image_url.url, self.image_url.detail or "auto")


class FileData(_Lenient):
    """A PDF as a data: URL; ids and addresses of files are not read."""

    file_data: str
    filename: str | None = None

    @field_validator("file_data")
    @classmethod
    def _is_a_pdf_itself(cls, url: str) -> str:
        document_in(url, None)
        return url


class FilePart(_Lenient):
    """A PDF for the model."""

    type: Literal["file"]
    file: FileData
    cache_control: dict[str, Any] | None = None


def _as_parts(content: Any) -> Any:
    """The content as a list of parts: null and an empty text have none. Raises ValueError for another type."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise ValueError("the content is a string, a list of parts, or null")  # noqa: TRY004 - pydantic reads it
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]


# Parts are distinguished by `type`, so that an error names the wrong field of a part, not all the types that it is not.
_Some = Field(max_length=1000, fail_fast=True)
_SeenPart = Annotated[TextPart | ImagePart | FilePart | ReasoningPart, Field(discriminator="type")]
_WordPart = Annotated[TextPart | RefusalPart | ReasoningPart, Field(discriminator="type")]
_Seen = Annotated[
    list[_SeenPart], _Some, BeforeValidator(_as_parts, json_schema_input_type=str | list[_SeenPart] | None)
]
_Words = Annotated[
    list[_WordPart], _Some, BeforeValidator(_as_parts, json_schema_input_type=str | list[_WordPart] | None)
]


class _Message(_Lenient):
    cache_control: dict[str, Any] | None = Field(default=None, description="As for the last part.")


class SystemMessage(_Message):
    """Instructions; `developer` is the newer name of the role."""

    role: Literal["system", "developer"]
    content: _Words = []


class UserMessage(_Message):
    """The user's text and images."""

    role: Literal["user"]
    content: _Seen = []


def _as_text(arguments: Any) -> Any:
    return json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, dict) else arguments or ""


def _if_text(value: Any) -> Any:
    return value if isinstance(value, str) else None


class FunctionCall(_Lenient):
    """A function and the arguments that a model wrote for it."""

    name: ToolName
    arguments: Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | dict[str, Any] | None)] = ""


class AssistantToolCall(_Lenient):
    """An earlier tool call of a model."""

    id: CallId
    type: Literal["function"] = "function"
    function: FunctionCall


class AssistantMessage(_Message):
    """An earlier answer of a model, with its tool calls."""

    role: Literal["assistant"]
    content: _Words = []
    refusal: str | None = None
    tool_calls: Annotated[list[AssistantToolCall], Field(max_length=128, fail_fast=True)] | None = None
    reasoning_content: Annotated[str | None, BeforeValidator(_if_text, json_schema_input_type=str | None)] = None


class ToolMessage(_Message):
    """The result of a tool; the model gets its images in a message of the user after it."""

    role: Literal["tool"]
    content: _Seen = []
    tool_call_id: CallId


AnyPart = TextPart | ImagePart | FilePart | RefusalPart | ReasoningPart
AnyMessage = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


def conversation_of(messages: Iterable[AnyMessage]) -> tuple[Message, ...]:
    """The messages as our own values, with the client's ids of calls."""
    return tuple(map(_converted, messages))


def arguments_of(messages: Iterable[AnyMessage]) -> Iterator[str]:
    """The arguments of all calls, as text."""
    for message in messages:
        if isinstance(message, AssistantMessage):
            yield from (call.function.arguments for call in message.tool_calls or ())


def _converted(message: AnyMessage) -> Message:
    role: Role = "system" if message.role == "developer" else message.role
    content, parts, marks = _text(message), _parts_of(message), _marks(message)
    if isinstance(message, AssistantMessage):
        called = ((call.id, call.function) for call in message.tool_calls or ())
        calls = tuple(written_call(call_id, function.name, function.arguments) for call_id, function in called)
        return Message(role, content, calls, _reasoning(message) if calls else None)
    if isinstance(message, ToolMessage):
        return Message(role, content, tool_call_id=message.tool_call_id, parts=parts)
    is_plain = not marks and all(isinstance(part, str) for part in parts)
    return Message(role, content, parts=() if is_plain else parts, cached_parts=marks)


def _reasoning(message: AssistantMessage) -> ProviderPayload | None:
    """The reasoning before the calls, which some hosts want back with the results."""
    text = message.reasoning_content
    return ProviderPayload(CALLER, {"reasoning_content": text}) if text else None


def _parts_of(message: AnyMessage) -> tuple[Part, ...]:
    return tuple(map(_part, message.content))


def _part(part: AnyPart) -> Part:
    match part:
        case ImagePart():
            return part.image()
        case FilePart():
            return document_in(part.file.file_data, part.file.filename)
        case _:
            return _words(part)


def _marks(message: AnyMessage) -> tuple[int, ...]:
    """The places of the parts up to which a client wants the prompt cached."""
    last = len(message.content) - 1
    return tuple(
        place
        for place, part in enumerate(message.content)
        if getattr(part, "cache_control", None) or (place == last and message.cache_control)
    )


def _words(part: AnyPart) -> str:
    return (part.text or "") if isinstance(part, TextPart) else part.refusal if isinstance(part, RefusalPart) else ""


def _text(message: AnyMessage) -> str:
    text = "".join(_words(part) for part in message.content)
    return text or (message.refusal or "" if isinstance(message, AssistantMessage) else "")
