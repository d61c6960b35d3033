"""The events of a model's answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
class Usage:
    """Tokens of one model call, cumulative: the latest value wins.

    `input_tokens` includes `cached_tokens`; `output_tokens` includes `reasoning_tokens`.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    source: UsageSource = "provider"


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the model stopped; `truncated` when its stream ended without a reason."""

    reason: StopReason
    native: ProviderPayload | None = None


ModelEvent = Text | Reasoning | ToolCall | Usage | Finish

CONTENT: Final = (Text, Reasoning, ToolCall)
"""The events that are content: after the first of them no call is made again."""


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
