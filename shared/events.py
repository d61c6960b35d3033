"""The events of a model's answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from shared.messages import Message, ProviderPayload, ToolCall

StopReason = Literal["stop", "length", "tool_calls", "filtered", "truncated"]


UsageSource = Literal["provider", "partial", "estimate"]


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of a model's reasoning before or between its answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Signature:
    """The end of a piece of reasoning: what its provider wants back with it. Redacted reasoning is nothing else.

    `provider` is as in ProviderPayload.
    """

    text: str
    is_redacted: bool = False
    provider: str = "anthropic"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A piece of a model's refusal, which OpenAI sends apart from the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of the JSON text of a tool call's arguments; the first one of a call may be empty.

    The ToolCall with the same id follows when the call is whole. A provider that sends whole calls has no pieces.
    """

    id: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call, cumulative: the latest value wins.

    `input_tokens` includes `cached_tokens`, which were read from the provider's cache, and `cache_write_tokens`, which
    were written to it; `output_tokens` includes `reasoning_tokens`.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    source: UsageSource = "provider"
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the model stopped; `truncated` when its stream ended without a reason."""

    reason: StopReason
    native: ProviderPayload | None = None


ModelEvent = Text | Reasoning | Signature | Refusal | CallPiece | ToolCall | Usage | Finish

CONTENT: Final = (Text, Reasoning, Refusal, CallPiece, ToolCall)
"""The events that are content: after the first of them no call is made again."""

PIECES: Final = (Text, Reasoning)
"""The events that are text and may be merged; a tuple, because `Text | Reasoning` is a new object for each event."""

MAX_MERGED_CHARACTERS: Final = 4_096  # a host that sends too much is cut off near its limit


def merge_pieces(events: Iterable[ModelEvent]) -> Iterator[ModelEvent]:
    """The events, with successive pieces of text or of reasoning as one; an error comes after what precedes it.

    For the events of one network read: they wait for nothing, and each event costs an encoding and a write.
    """
    kind: type[Text | Reasoning] = Text
    text = ""
    try:
        for event in events:
            if isinstance(event, PIECES):
                if type(event) is kind and len(text) + len(event.text) <= MAX_MERGED_CHARACTERS:
                    text += event.text
                    continue
                if text:
                    yield kind(text)
                kind, text = type(event), event.text
            else:
                if text:
                    yield kind(text)
                text = ""
                yield event
    except Exception:
        if text:
            yield kind(text)
        raise
    if text:
        yield kind(text)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool call, for the model and for the client; an error is `{"error", "hint"}`."""

    call: ToolCall
    content: Mapping[str, Any]
    is_error: bool = False

    def message(self) -> Message:
        """The message that the model reads."""
        text = json.dumps(self.content, ensure_ascii=False, default=str)
        return Message("tool", text, tool_call_id=self.call.id, is_error=self.is_error)


@dataclass(frozen=True, slots=True)
class NextStep:
    """The model is called again with the results of its tools."""
