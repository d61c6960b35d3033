"""The values that flow through a turn: what a model is asked, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Role = Literal["system", "user", "assistant", "tool"]
StopReason = Literal["stop", "length", "tool_calls", "filtered", "truncated"]
UsageSource = Literal["provider", "partial", "estimate"]
ANY_OBJECT: Final = {"type": "object"}
"""The output schema of whoever wants a JSON object and does not say which."""


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
    """A tool the model wants called; `arguments` is the JSON object it wrote, `written` its text where that is known.

    What it wrote stands in `broken` when that is no JSON object; `arguments` is empty then.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    broken: str | None = None
    written: str | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        """The arguments as JSON text: numbers as they were written, where they were."""
        return json.dumps(dict(self.arguments), ensure_ascii=False) if self.written is None else self.written


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
class ProviderPayload:
    """An assistant's turn as its provider wrote it, with what only that provider understands.

    Thought signatures and thinking blocks must come back unchanged with a tool's result; other providers ignore it.
    """

    provider: str
    content: Any


@dataclass(frozen=True, slots=True)
class Finish:
    """Why the model stopped; `truncated` when its stream ended without saying why."""

    reason: StopReason
    native: ProviderPayload | None = None


ModelEvent = Text | Reasoning | ToolCall | Usage | Finish


@dataclass(frozen=True, slots=True)
class Image:
    """A picture to look at: `data` is base64, `detail` how closely, where a provider lets one choose."""

    media_type: str
    data: str
    detail: Literal["auto", "low", "high"] = "auto"


@dataclass(frozen=True, slots=True)
class Message:
    """One message a model is given: calls and native are an assistant's, `tool_call_id` and `is_error` a tool's.

    `parts` are texts and images in their order, where a message has images; `content` is its text either way.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    native: ProviderPayload | None = None
    tool_call_id: str | None = None
    is_error: bool = False
    parts: tuple[str | Image, ...] = ()

    @property
    def images(self) -> tuple[Image, ...]:
        """The images among its parts."""
        return tuple(part for part in self.parts if isinstance(part, Image))


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool a model may call; `parameters` is the JSON Schema of its arguments, an object.

    `is_strict` is whether the arguments must fit it to the letter; None where nobody said.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    is_strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """What a provider may be told of an output schema besides it; `is_strict` None: strict where the schema can be."""

    name: str = "answer"
    description: str | None = None
    is_strict: bool | None = None


PLAIN_FORMAT: Final = Format()


@dataclass(frozen=True, slots=True)
class Node:
    """A client node to call: where it lives, and whether its owner left a key for it with us."""

    id: int
    base_url: str
    has_key: bool = False


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model call in no dialect; `model` is the provider's own name, `node` set only for a client node.

    `output_schema` is the JSON Schema that the answer's text must fit, an object, or ANY_OBJECT; None for free text.
    Tools that may not be called are still told of: a conversation in which they were called makes no sense without
    them. `must_call` is the name of the tool to call, or True for whichever. The answer ends before any text of `stop`.
    """

    model: str
    messages: tuple[Message, ...]
    max_output_tokens: int
    temperature: float | None = None
    tools: tuple[Tool, ...] = ()
    may_call_tools: bool = True
    output_schema: Mapping[str, Any] | None = None
    node: Node | None = None
    must_call: str | bool = False
    may_call_in_parallel: bool = True
    stop: tuple[str, ...] = ()
    output_format: Format = PLAIN_FORMAT


@dataclass(frozen=True, slots=True)
class Route:
    """Where a turn may be served, as the database resolved it; `base_url` and `has_key` only for client nodes.

    `pricing` is USD per million tokens, None when the price is unknown; `open_until` is set while its circuit is open.
    `label` is the model as people know it, "<node> (<model>)" for a client node.
    """

    identifier: str
    provider: str
    upstream_id: str
    max_output_tokens: int
    node_id: int | None = None
    base_url: str | None = None
    has_key: bool = False
    pricing: Mapping[str, Any] | None = None
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    open_until: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class RouteChosen:
    """A route has begun to answer, `fallbacks` routes after the first; said once a turn, before its first event."""

    route: Route
    fallbacks: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of a provider within a turn, as it is recorded in the row.

    `usage` is None when the call used nothing. `is_fault` when the failure speaks against the provider, not the
    request; `open_seconds` asks for no further calls for so long.
    """

    identifier: str
    provider_key: str
    ok: bool
    ms: int
    usage: Usage | None = None
    error_code: str | None = None
    upstream_status: int | None = None
    is_fault: bool = False
    open_seconds: float | None = None
