"""The messages of OpenAI's chat completions: their validation, and their conversion to our own values."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, field_validator

from shared.messages import CALLER, Image, Message, ProviderPayload, Role, ToolCall
from shared.providers.tool_calls import is_usual_id, tool_call, values_in

MAX_IMAGES = 16
_Some = Field(max_length=1000, fail_fast=True)  # of the parts of one message
_MAX_VALUES = 100_000  # as for the body itself, where arguments are one text
_DATA_URL = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,([A-Za-z0-9+/]+={0,2})")

ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
CallId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class _Lenient(BaseModel):
    # SDKs send answers back with fields of their own (`parsed`, `index`, …), so unknown fields are ignored.
    # Built with the first request, to keep the cold start of chat short.
    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)


class TextPart(_Lenient):
    """A piece of text."""

    type: Literal["text"]
    text: str


class RefusalPart(_Lenient):
    """A refusal of a model that the client sends back."""

    type: Literal["refusal"]
    refusal: str


class ImageUrl(_Lenient):
    """An image as a data: URL; addresses are not fetched."""

    url: str
    detail: Literal["auto", "low", "high"] | None = None

    @field_validator("url")
    @classmethod
    def _is_an_image_itself(cls, url: str) -> str:
        found = _DATA_URL.fullmatch(url)
        if not found:
            raise ValueError("send the image itself, as data:image/png;base64,… (or jpeg, gif, webp)")
        b64decode(found[2], validate=True)  # its ValueError is the answer
        return url


class ImagePart(_Lenient):
    """An image for the model."""

    type: Literal["image_url"]
    image_url: ImageUrl

    def image(self) -> Image:
        """The image as our own value."""
        head, _, data = self.image_url.url.partition(";base64,")
        return Image(head.removeprefix("data:"), data, self.image_url.detail or "auto")


def _kind(content: object) -> str:
    return "text" if isinstance(content, str) else "parts"


# By `type`, so that an error names the wrong field of a part, not all the types that it is not.
_Kind = Discriminator(_kind)
_Text = Annotated[list[TextPart], _Some]
_UserParts = Annotated[list[Annotated[TextPart | ImagePart, Field(discriminator="type")]], _Some]
_Parts = Annotated[list[Annotated[TextPart | RefusalPart, Field(discriminator="type")]], _Some]
TextContent = Annotated[Annotated[str, Tag("text")] | Annotated[_Text, Tag("parts")], _Kind]


class SystemMessage(_Lenient):
    """Instructions; `developer` is the newer name of the role."""

    role: Literal["system", "developer"]
    content: TextContent


class UserMessage(_Lenient):
    """The user's text and images."""

    role: Literal["user"]
    content: Annotated[Annotated[str, Tag("text")] | Annotated[_UserParts, Tag("parts")], _Kind]


class FunctionCall(_Lenient):
    """A function and the arguments that a model wrote for it."""

    name: ToolName
    arguments: str


class AssistantToolCall(_Lenient):
    """An earlier tool call of a model."""

    id: CallId
    type: Literal["function"]
    function: FunctionCall


class AssistantMessage(_Lenient):
    """An earlier answer of a model, with its tool calls."""

    role: Literal["assistant"]
    content: Annotated[Annotated[str, Tag("text")] | Annotated[_Parts, Tag("parts")], _Kind] | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[AssistantToolCall], Field(max_length=128, fail_fast=True)] | None = None
    audio: None = None
    function_call: None = None
    reasoning_content: str | None = None


class ToolMessage(_Lenient):
    """The result of a tool."""

    role: Literal["tool"]
    content: TextContent
    tool_call_id: CallId


AnyMessage = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


def conversation_of(messages: Iterable[AnyMessage]) -> tuple[Message, ...]:
    """The messages in the form for a provider.

    Call ids that a provider may reject, unusual or repeated, are replaced in the call and in its result. The same
    conversation always gets the same ids, so that a provider's prompt cache can be used.
    """
    ids: dict[str, str] = {}  # by the client's id, of the latest call with that id
    used: set[str] = set()

    def converted_call(call: AssistantToolCall) -> ToolCall:
        is_usual = is_usual_id(call.id) and call.id not in used
        ids[call.id] = call.id if is_usual else f"call_{sha256(f'{len(used)} {call.id}'.encode()).hexdigest()[:16]}"
        used.add(ids[call.id])
        made = tool_call(ids[call.id], call.function.name, call.function.arguments)
        # Arguments that are no JSON object came from a model; providers that take text get them unchanged.
        return made if made.broken is None else replace(made, broken=None, written=made.broken)

    def converted(message: AnyMessage) -> Message:
        role: Role = "system" if message.role == "developer" else message.role
        content = _text(message)
        if isinstance(message, AssistantMessage):
            calls = tuple(map(converted_call, message.tool_calls or ()))
            return Message(role, content, calls, _reasoning(message) if calls else None)
        if isinstance(message, ToolMessage):
            return Message(role, content, tool_call_id=ids.get(message.tool_call_id, message.tool_call_id))
        parts = tuple(part.image() if isinstance(part, ImagePart) else _words(part) for part in _parts(message))
        return Message(role, content, parts=parts if any(isinstance(part, Image) for part in parts) else ())

    return tuple(map(converted, messages))


def _reasoning(message: AssistantMessage) -> ProviderPayload | None:
    """The reasoning before the calls, which some hosts want back with the results."""
    text = message.reasoning_content
    return ProviderPayload(CALLER, {"reasoning_content": text}) if text else None


def fault_of(messages: Sequence[AnyMessage]) -> str | None:
    """What no provider accepts: no question, too many images, a result without its call or a call without its result.

    None when the conversation is acceptable.
    """
    question = next((message for message in reversed(messages) if isinstance(message, UserMessage)), None)
    if question is None:
        return "there is nothing to answer"
    if not _text(question).strip() and not _images(question):
        return "the last message of the user is empty"
    if sum(map(_images, messages)) > MAX_IMAGES:
        return f"at most {MAX_IMAGES} images"
    calls = (call for m in messages if isinstance(m, AssistantMessage) for call in m.tool_calls or ())
    if sum(values_in(call.function.arguments) for call in calls) > _MAX_VALUES:
        return f"the arguments of all calls may hold at most {_MAX_VALUES:,} values"
    return _fault_of_calls(messages)


def _fault_of_calls(messages: Iterable[AnyMessage]) -> str | None:
    pending: set[str] = set()
    for message in messages:
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in pending:
                return "a tool message answers a call of the assistant's message before it"
            pending.discard(message.tool_call_id)
        elif pending:
            break
        elif isinstance(message, AssistantMessage):
            pending = {call.id for call in message.tool_calls or ()}
            if len(pending) != len(message.tool_calls or ()):
                return "every call of an assistant's message has an id of its own"
    return "every call of an assistant's message is answered by a tool message" if pending else None


def _images(message: AnyMessage) -> int:
    return sum(isinstance(part, ImagePart) for part in _parts(message))


def _parts(message: AnyMessage) -> list[TextPart | ImagePart | RefusalPart]:
    content = message.content
    if isinstance(content, str):
        return [TextPart(type="text", text=content)]
    return [*content] if content else []


def _words(part: TextPart | ImagePart | RefusalPart) -> str:
    return part.text if isinstance(part, TextPart) else part.refusal if isinstance(part, RefusalPart) else ""


def _text(message: AnyMessage) -> str:
    text = "".join(_words(part) for part in _parts(message))
    return text or (message.refusal or "" if isinstance(message, AssistantMessage) else "")
