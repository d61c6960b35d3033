"""The content blocks of Anthropic's messages: their validation, and the messages that a provider gets of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from functions.chat.protocols.completions.messages import CallId
from functions.chat.protocols.conversation import written_call
from functions.chat.protocols.documents import document_in
from functions.chat.protocols.images import image_in
from functions.chat.protocols.messages.openai_reasoning import is_openais, openai_payload
from shared.messages import CALLER, Image, Message, Part, ProviderPayload

CLAUDE = "anthropic"
LongToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
_BILLING = (
    "x-anthropic-billing-header:"  # of Claude Code; it differs in each request, so no cache would have the prompt
)


class _Block(BaseModel):
    # Clients send blocks of answers back with fields of their own, so unknown fields are ignored.
    model_config = ConfigDict(extra="ignore", strict=True, defer_build=True)

    cache_control: dict[str, Any] | None = None


class TextBlock(_Block):
    """A piece of text."""

    type: Literal["text"]
    text: str


class Base64Source(_Block):
    """An image or a PDF itself; addresses and files are not fetched."""

    type: Literal["base64"]
    media_type: str
    data: str


class ImageBlock(_Block):
    """An image: png, jpeg, gif or webp."""

    type: Literal["image"]
    source: Base64Source

    @field_validator("source")
    @classmethod
    def _is_an_image_itself(cls, source: Base64Source) -> Base64Source:
        image_in(_data_url(source))
        return source

    def image(self) -> Image:
        """The image as our own value."""
        return image_in(_data_url(self.source))


class TextSource(_Block):
    """A document of plain text."""

    type: Literal["text"]
    data: str


class DocumentBlock(_Block):
    """A document: plain text or a PDF."""

    type: Literal["document"]
    source: Annotated[TextSource | Base64Source, Field(discriminator="type")]
    title: str | None = None

    @field_validator("source")
    @classmethod
    def _is_a_pdf_itself(cls, source: TextSource | Base64Source) -> TextSource | Base64Source:
        if isinstance(source, Base64Source):
            document_in(_data_url(source), None)
        return source

    def part(self) -> Part:
        """The document as our own value."""
        if isinstance(self.source, Base64Source):
            return document_in(_data_url(self.source), self.title)
        return f"{self.title}\n\n{self.source.data}" if self.title else self.source.data


class SearchResultBlock(_Block):
    """A search result of the client."""

    type: Literal["search_result"]
    title: str = ""
    source: str = ""
    content: Annotated[list[TextBlock], Field(max_length=1000, fail_fast=True)] = []


class ThinkingBlock(_Block):
    """Claude's own reasoning, which Claude wants back with its signature."""

    type: Literal["thinking"]
    thinking: str = ""
    signature: str = ""


class RedactedThinkingBlock(_Block):
    """Claude's encrypted reasoning."""

    type: Literal["redacted_thinking"]
    data: str


class ToolUseBlock(_Block):
    """An earlier tool call of a model."""

    type: Literal["tool_use"]
    id: CallId
    name: LongToolName
    input: dict[str, Any] = {}


def _as_blocks(content: Any) -> Any:
    """The content as a list of blocks: null and an empty text have none. Raises ValueError for another type."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise ValueError("the content is a string or a list of blocks")  # noqa: TRY004 - pydantic reads it
    return content


_OWN = {"text", "thinking", "redacted_thinking", "tool_use"}


def _own_blocks(content: Any) -> Any:
    """The blocks of an assistant that every provider knows, without those of Anthropic's own tools."""
    blocks = _as_blocks(content)
    return [block for block in blocks if not isinstance(block, dict) or block.get("type") in _OWN]


_Some = Field(max_length=1000, fail_fast=True)
_SeenBlock = Annotated[TextBlock | ImageBlock | DocumentBlock | SearchResultBlock, Field(discriminator="type")]
_Seen = Annotated[
    list[_SeenBlock], _Some, BeforeValidator(_as_blocks, json_schema_input_type=str | list[_SeenBlock] | None)
]
Texts = Annotated[
    list[TextBlock], _Some, BeforeValidator(_as_blocks, json_schema_input_type=str | list[TextBlock] | None)
]


class ToolResultBlock(_Block):
    """The result of a tool; the model gets its images in a message of the user after it."""

    type: Literal["tool_result"]
    tool_use_id: CallId
    content: _Seen = []
    is_error: bool | None = None


_AskedBlock = Annotated[
    TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolResultBlock, Field(discriminator="type")
]
_AnswerBlock = Annotated[TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock, Field(discriminator="type")]


class UserTurn(_Block):
    """The user's text, images and documents, and the results of tools."""

    role: Literal["user"]
    content: Annotated[
        list[_AskedBlock], _Some, BeforeValidator(_as_blocks, json_schema_input_type=str | list[_AskedBlock] | None)
    ] = []

    def messages(self) -> Iterator[Message]:
        """The results of tools first, as every provider takes them, then the rest."""
        for block in self.content:
            if isinstance(block, ToolResultBlock):
                parts = tuple(map(_part, block.content))
                marks = (0,) if block.cache_control else ()
                text = "\n".join(part for part in parts if isinstance(part, str))
                yield Message(
                    "tool",
                    text,
                    tool_call_id=block.tool_use_id,
                    is_error=bool(block.is_error),
                    parts=parts,
                    cached_parts=marks,
                )
        rest = [block for block in self.content if not isinstance(block, ToolResultBlock)]
        if rest or not self.content:
            yield _in_parts("user", tuple(map(_part, rest)), _marks(rest))


class AssistantTurn(_Block):
    """An earlier answer of a model; blocks of Anthropic's own tools are left out."""

    role: Literal["assistant"]
    content: Annotated[
        list[_AnswerBlock], _Some, BeforeValidator(_own_blocks, json_schema_input_type=str | list[_AnswerBlock] | None)
    ] = []

    def messages(self) -> Iterator[Message]:
        """One message; with signed thinking it has the blocks for Claude."""
        texts = tuple(block.text for block in self.content if isinstance(block, TextBlock))
        uses = [block for block in self.content if isinstance(block, ToolUseBlock)]
        calls = tuple(written_call(use.id, use.name, json.dumps(use.input, ensure_ascii=False)) for use in uses)
        yield Message("assistant", "".join(texts), calls, self._native(has_calls=bool(calls)))

    def _native(self, *, has_calls: bool) -> ProviderPayload | None:
        thoughts = [block for block in self.content if isinstance(block, ThinkingBlock)]
        if any(is_openais(thought.signature) for thought in thoughts):
            return openai_payload(block.model_dump() for block in self.content)
        is_claudes = any(isinstance(block, RedactedThinkingBlock) for block in self.content)
        if is_claudes or any(thought.signature for thought in thoughts):
            return ProviderPayload(CLAUDE, [_for_claude(block) for block in self.content if not _is_unsigned(block)])
        text = "".join(thought.thinking for thought in thoughts)
        return ProviderPayload(CALLER, {"reasoning_content": text}) if text and has_calls else None


class SystemTurn(_Block):
    """Instructions in the middle of a conversation."""

    role: Literal["system"]
    content: Texts = []

    def messages(self) -> Iterator[Message]:
        """One message of instructions; none of what only Anthropic's billing reads."""
        return instructions(self.content)


AnyTurn = Annotated[UserTurn | AssistantTurn | SystemTurn, Field(discriminator="role")]


def instructions(blocks: list[TextBlock]) -> Iterator[Message]:
    """The instructions as one message; none when there are none."""
    kept = [block for block in blocks if not block.text.startswith(_BILLING)]
    if kept:
        yield _in_parts("system", tuple(block.text for block in kept), _marks(kept), "\n\n")


def _in_parts(
    role: Literal["user", "system"], parts: tuple[Part, ...], marks: tuple[int, ...], between: str = ""
) -> Message:
    text = between.join(part for part in parts if isinstance(part, str))
    is_plain = not marks and all(isinstance(part, str) for part in parts)
    return Message(role, text, parts=() if is_plain else parts, cached_parts=marks)


def _marks(blocks: list[Any]) -> tuple[int, ...]:
    """The places of the blocks up to which a client wants the prompt cached."""
    return tuple(place for place, block in enumerate(blocks) if block.cache_control)


def _part(block: TextBlock | ImageBlock | DocumentBlock | SearchResultBlock | ToolResultBlock) -> Part:
    match block:
        case ImageBlock():
            return block.image()
        case DocumentBlock():
            return block.part()
        case SearchResultBlock():
            return "\n".join((block.title, block.source, *(text.text for text in block.content)))
        case TextBlock():
            return block.text
        case _:
            return ""


def _is_unsigned(block: Any) -> bool:
    """Whether it is the reasoning of another model, which Claude rejects."""
    return isinstance(block, ThinkingBlock) and not block.signature


def _for_claude(block: TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock) -> dict[str, Any]:
    fields = block.model_dump(exclude_none=True)
    if block.cache_control:
        fields["cache_control"] = {"type": "ephemeral"}
    return fields


def _data_url(source: Base64Source) -> str:
    return f"data:{source.media_type};base64,{source.data}"
