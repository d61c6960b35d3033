"""The values that flow through a turn: what a model is asked, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
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
class ToolCall:
    """A tool the model wants called; `arguments` is the JSON object it wrote."""

    id: str
    name: str
    arguments: Mapping[str, Any]


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


ModelEvent = Text | Reasoning | ToolCall | Usage | Finish


@dataclass(frozen=True, slots=True)
class Message:
    """One message a model is given; `tool_calls` only on the assistant's, `tool_call_id` only on a tool's."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool a model may call; `parameters` is the JSON Schema of its arguments, an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One model call in no dialect; `model` is the provider's own name, `base_url` a client node's address."""

    model: str
    messages: tuple[Message, ...]
    max_output_tokens: int
    temperature: float | None = None
    tools: tuple[Tool, ...] = ()
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Where a turn may be served, as the database resolved it; `base_url` only for client nodes.

    `pricing` is USD per million tokens, None when the price is unknown; `open_until` is set while its circuit is open.
    """

    identifier: str
    provider: str
    upstream_id: str
    max_output_tokens: int
    node_id: int | None = None
    base_url: str | None = None
    pricing: Mapping[str, Any] | None = None
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    open_until: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a provider within a turn, as it is recorded in the row."""

    identifier: str
    provider_key: str
    ok: bool
    ms: int
    error_code: str | None = None
    upstream_status: int | None = None
    open_seconds: float | None = None
