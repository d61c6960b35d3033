"""The input items of OpenAI's responses: their validation, and the messages that a provider gets of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from functions.chat.protocols.completions.messages import CallId
from functions.chat.protocols.conversation import written_call
from functions.chat.protocols.documents import document_in
from functions.chat.protocols.images import Detail, image_in
from functions.chat.protocols.messages.blocks import CLAUDE, LongToolName
from shared.messages import CALLER, Message, Part, ProviderPayload, ToolCall

OPENAI = "openai-responses"  # as in payloads of shared.providers.openai_responses


class _Part(BaseModel):
    # Clients send items of answers back with fields of their own, so unknown fields are ignored.
    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)


class ContentText(_Part):
    """A piece of text."""

    type: Literal["input_text", "output_text", "text", "summary_text", "reasoning_text"]
    text: str


class RefusalPart(_Part):
    """A refusal of a model that the client sends back."""

    type: Literal["refusal"]
    refusal: str


class ContentImage(_Part):
    """An image as a data: URL; addresses and files are not fetched."""

    type: Literal["input_image"]
    image_url: str
    detail: Detail | Literal["original"] | None = None

    @field_validator("image_url")
    @classmethod
    def _is_an_image_itself(cls, url: str) -> str:
        image_in(url)
        return url


class ContentFile(_Part):
    """A PDF as a data: URL; ids and addresses of files are not read."""

    type: Literal["input_file"]
    file_data: str
    filename: str | None = None

    @field_validator("file_data")
    @classmethod
    def _is_a_pdf_itself(cls, url: str) -> str:
        document_in(url, None)
        return url


def _as_parts(content: Any) -> Any:
    """The content as a list of parts: null and an empty text have none. Raises ValueError for another type."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "input_text", "text": content}]
    if not isinstance(content, list):
        raise ValueError("the content is a string or a list of parts")  # noqa: TRY004 - pydantic reads it
    return content


_AnyPart = Annotated[ContentText | RefusalPart | ContentImage | ContentFile, Field(discriminator="type")]
Parts = Annotated[
    list[_AnyPart],
    Field(max_length=1000, fail_fast=True),
    BeforeValidator(_as_parts, json_schema_input_type=str | list[_AnyPart] | None),
]


class MessageItem(_Part):
    """A message; `developer` is the newer name of `system`."""

    type: Literal["message"] = "message"
    role: Literal["user", "system", "developer", "assistant"]
    content: Parts = []


class FunctionCallItem(_Part):
    """An earlier call of a function."""

    type: Literal["function_call"]
    call_id: CallId
    name: LongToolName
    arguments: str = ""


class CustomCallItem(_Part):
    """An earlier call of a custom tool, whose input is text."""

    type: Literal["custom_tool_call"]
    call_id: CallId
    name: LongToolName
    input: str = ""


class OutputItem(_Part):
    """The output of a call; the model gets its images in a message of the user after it."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: CallId
    output: Parts = []


class ReasoningItem(_Part):
    """A model's reasoning. It goes back to its provider, which `encrypted_content` names before a colon."""

    type: Literal["reasoning"]
    summary: Annotated[list[ContentText], Field(max_length=1000, fail_fast=True)] = []
    content: Annotated[list[ContentText], Field(max_length=1000, fail_fast=True)] | None = None
    encrypted_content: str | None = None


class ReferenceItem(_Part):
    """An item of an earlier, stored response of the same user."""

    type: Literal["item_reference"]
    id: Annotated[str, Field(max_length=300)]


class OtherItem(_Part):
    """An item of a tool that Parley does not have; it is left out."""

    type: Literal["other"]


AnyItem = Annotated[
    MessageItem | FunctionCallItem | CustomCallItem | OutputItem | ReasoningItem | ReferenceItem | OtherItem,
    Field(discriminator="type"),
]
_KINDS = {
    "message",
    "function_call",
    "custom_tool_call",
    "function_call_output",
    "custom_tool_call_output",
    "reasoning",
    "item_reference",
}


def _typed(item: Any) -> Any:
    """The item with its type, which messages and references may lack."""
    if not isinstance(item, dict):
        return item
    kind = item.get("type") or ("message" if "role" in item else "item_reference")
    return item | {"type": kind if kind in _KINDS else "other"}


def _as_items(value: Any) -> Any:
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    return [_typed(item) for item in value] if isinstance(value, list) else value


Items = Annotated[
    list[AnyItem],
    Field(min_length=1, max_length=5000, fail_fast=True),
    BeforeValidator(_as_items, json_schema_input_type=str | list[AnyItem]),
]


def custom_arguments(text: str) -> str:
    """The input of a custom tool as the arguments of a function, as every model can call it."""
    return json.dumps({"input": text}, ensure_ascii=False)


def arguments_of(items: Iterable[Any]) -> Iterable[str]:
    """The arguments of all calls, as text."""
    return (item.arguments for item in items if isinstance(item, FunctionCallItem))


def messages_of(items: Iterable[Any]) -> list[Message]:
    """The items as messages: the reasoning, text and calls of one answer are one message."""
    found: list[Message] = []
    answer = _Answer()
    for item in items:
        if answer.takes(item):
            continue
        found += answer.taken()
        match item:
            case MessageItem():
                found.append(_message("user" if item.role == "user" else "system", item.content))
            case OutputItem():
                parts = tuple(map(_part, item.output))
                text = "".join(part for part in parts if isinstance(part, str))
                found.append(Message("tool", text, tool_call_id=item.call_id, parts=parts))
            case _:
                pass
    return found + answer.taken()


class _Answer:
    """Gathers the items of one answer of a model."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: list[ToolCall] = []
        self._blocks: list[dict[str, Any]] = []
        self._thoughts: list[str] = []
        self._items: list[dict[str, Any]] = []  # for OpenAI, as _blocks are for Claude

    def takes(self, item: Any) -> bool:
        match item:
            case MessageItem(role="assistant"):
                text = "".join(part for part in map(_part, item.content) if isinstance(part, str))
                self._texts.append(text)
                self._blocks.append({"type": "text", "text": text})
                self._items.append({"role": "assistant", "content": text})
            case FunctionCallItem():
                self._add(written_call(item.call_id, item.name, item.arguments))
            case CustomCallItem():
                self._add(written_call(item.call_id, item.name, custom_arguments(item.input)))
            case ReasoningItem():
                self._think(item)
            case OtherItem() | ReferenceItem():
                pass
            case _:
                return False
        return True

    def taken(self) -> list[Message]:
        """The message of the items so far; none when there were none."""
        made = Message("assistant", "\n\n".join(filter(None, self._texts)), tuple(self._calls), self._native())
        is_empty = not (self._texts or self._calls)
        self.__init__()  # type: ignore[misc]
        return [] if is_empty else [made]

    def _add(self, call: ToolCall) -> None:
        self._calls.append(call)
        self._blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)})
        written = {"call_id": call.id, "name": call.name, "arguments": call.text}
        self._items.append({"type": "function_call"} | written)

    def _think(self, item: ReasoningItem) -> None:
        text = "".join(part.text for part in (item.content or item.summary))
        self._thoughts.append(text)
        provider, _, signature = (item.encrypted_content or "").partition(":")
        if provider == CLAUDE:
            self._blocks.append({"type": "thinking", "thinking": text, "signature": signature})
        elif provider == OPENAI:
            item_id, _, encrypted = signature.partition(":")
            summary = [{"type": "summary_text", "text": part.text} for part in item.summary]
            own = {"id": item_id, "summary": summary, "encrypted_content": encrypted}
            self._items.append({"type": "reasoning"} | own)

    def _native(self) -> ProviderPayload | None:
        if any(block["type"] == "thinking" for block in self._blocks):
            return ProviderPayload(CLAUDE, self._blocks)
        if any(item.get("type") == "reasoning" for item in self._items):
            return ProviderPayload(OPENAI, self._items)
        text = "".join(self._thoughts)
        return ProviderPayload(CALLER, {"reasoning_content": text}) if text and self._calls else None


def _message(role: Literal["user", "system"], content: list[Any]) -> Message:
    parts = tuple(map(_part, content))
    text = "".join(part for part in parts if isinstance(part, str))
    return Message(role, text, parts=() if all(isinstance(part, str) for part in parts) else parts)


def _part(part: ContentText | RefusalPart | ContentImage | ContentFile) -> Part:
    match part:
        case ContentText():
            return part.text
        case RefusalPart():
            return part.refusal
        case ContentFile():
            return document_in(part.file_data, part.filename)
        case _:
            detail = part.detail if part.detail != "original" else "high"
            return image_in(part.image_url, detail or "auto")
