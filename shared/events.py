"""What a model sends back, event by event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared.messages import ProviderPayload, ToolCall

StopReason = Literal["stop", "length", "tool_calls", "filtered", "truncated"]


UsageSource = Literal["provider", "partial", "estimate"]


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of what a model thought aloud before or between its answer."""

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
    """Why the model stopped; `truncated` when its stream ended without saying why."""

    reason: StopReason
    native: ProviderPayload | None = None


ModelEvent = Text | Reasoning | ToolCall | Usage | Finish
