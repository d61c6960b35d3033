"""The messages of OpenAI's chat completions: their validation, and their conversion to our own values."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from shared.messages import CALLER, Image, Message, ProviderPayload, Role, ToolCall
from shared.providers.tool_calls import is_usual_id, tool_call, values_in

MAX_IMAGES = 16
_MAX_VALUES = 100_000  # as for the body itself, where arguments are one text
_DATA_URL = re.compile(
    r"data:image/(png|jpe?g|gif|webp)(?:;[\w.=-]+)*;base64,([A-Za-z0-9+/\s]+={0,2})\s*", re.IGNORECASE
)

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
    detail: Literal["auto", "low", "high"] | None = None

    @field_validator("url")
    @classmethod
    def _is_an_image_itself(cls, url: str) -> str:
        """The URL with a registered media type and padded base64."""
        found = _DATA_URL.fullmatch(url)
        if not found:
            raise ValueError("send the image itself, as data:image/png;base64,… (or jpeg, gif, webp)")
        data = "".join(found[2].split()).rstrip("=")
        data += "=" * (-len(data) % 4)
        b64decode(data, validate=True)  # its ValueError is the answer
        return f"data:image/{found[1].lower().replace('jpg', 'jpeg')};base64,{data}"


def _as_url(image: Any) -> Any:
    return {"url": image} if isinstance(image, str) else image


class ImagePart(_Lenient):
    """An image for the model."""

    type: Literal["image_url"]
    image_url: Annotated[ImageUrl, BeforeValidator(_as_url, json_schema_input_type=ImageUrl | str)]
    cache_control: dict[str, Any] | None = None

    def image(self) -> Image:
        """The image as our own value."""
        head, _, data = self.image_url.url.partition(";base64,")
        return Image(head.removeprefix("data:"), data, self.image_url.detail or "auto")


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
_SeenPart = Annotated[TextPart | ImagePart | ReasoningPart, Field(discriminator="type")]
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
        content, parts, marks = _text(message), _parts_of(message), _marks(message)
        if isinstance(message, AssistantMessage):
            calls = tuple(map(converted_call, message.tool_calls or ()))
            return Message(role, content, calls, _reasoning(message) if calls else None)
        if isinstance(message, ToolMessage):
            return Message(role, content, tool_call_id=ids.get(message.tool_call_id, message.tool_call_id))
        is_plain = not marks and not any(isinstance(part, Image) for part in parts)
        return Message(role, content, parts=() if is_plain else parts, cached_parts=marks)

    found: list[Message] = []
    shown: list[Image] = []  # by the tool results just before
    for message in messages:
        if shown and not isinstance(message, ToolMessage):
            found.append(_showing(shown))
            shown = []
        found.append(converted(message))
        if isinstance(message, ToolMessage):
            shown += [part for part in _parts_of(message) if isinstance(part, Image)]
    return _with_a_question([*found, _showing(shown)] if shown else found)


def _showing(images: list[Image]) -> Message:
    """The images of tool results as a message that every provider takes."""
    words = "The images of the tool results:"
    return Message("user", words, parts=(words, *images))


def _with_a_question(messages: list[Message]) -> tuple[Message, ...]:
    """The messages; without a user's text, the last instructions become the user's, as providers require one."""
    if any(m.role == "user" and (m.content.strip() or m.images) for m in messages):
        return tuple(messages)
    last = max((place for place, m in enumerate(messages) if m.role == "system" and m.content.strip()), default=None)
    return tuple(replace(m, role="user") if place == last else m for place, m in enumerate(messages))


def question_of(messages: Sequence[AnyMessage]) -> str:
    """The text of the last user message, else of the last instructions; empty when neither has any."""
    asked = [m for kind in (UserMessage, SystemMessage) for m in reversed(messages) if isinstance(m, kind)]
    return next((text for text in map(_text, asked) if text.strip()), "")


def _reasoning(message: AssistantMessage) -> ProviderPayload | None:
    """The reasoning before the calls, which some hosts want back with the results."""
    text = message.reasoning_content
    return ProviderPayload(CALLER, {"reasoning_content": text}) if text else None


def fault_of(messages: Sequence[AnyMessage]) -> str | None:
    """What no provider accepts: no question, too many images, a result without its call or a call without its result.

    None when the conversation is acceptable.
    """
    if not question_of(messages) and not any(isinstance(m, UserMessage) and _images(m) for m in messages):
        return "there is nothing to answer"
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
    return sum(isinstance(part, ImagePart) for part in message.content)


def _parts_of(message: AnyMessage) -> tuple[str | Image, ...]:
    return tuple(part.image() if isinstance(part, ImagePart) else _words(part) for part in message.content)


def _marks(message: AnyMessage) -> tuple[int, ...]:
    """The places of the parts up to which a client wants the prompt cached."""
    last = len(message.content) - 1
    return tuple(
        place
        for place, part in enumerate(message.content)
        if getattr(part, "cache_control", None) or (place == last and message.cache_control)
    )


def _words(part: TextPart | ImagePart | RefusalPart | ReasoningPart) -> str:
    return (part.text or "") if isinstance(part, TextPart) else part.refusal if isinstance(part, RefusalPart) else ""


def _text(message: AnyMessage) -> str:
    text = "".join(_words(part) for part in message.content)
    return text or (message.refusal or "" if isinstance(message, AssistantMessage) else "")
