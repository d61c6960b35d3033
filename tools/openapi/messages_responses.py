"""Models of the responses of Anthropic's messages, for chat's OpenAPI document and for tests."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MessageUsage(_Closed):
    """Anthropic's counts; `input_tokens` are those that no cache had. `cost` is USD, null when the price is unknown."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: dict[str, int]
    cost: float | None


class MessageAnswer(_Closed):
    """A message that was not streamed; its blocks are text, thinking and tool calls."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: Literal["end_turn", "max_tokens", "tool_use", "refusal"]
    stop_sequence: None
    usage: MessageUsage


class TokenCount(_Closed):
    """An estimate of the input tokens."""

    input_tokens: int


class MessagesErrorDetail(BaseModel):
    """Anthropic's type of the error; `metadata.code` is Parley's code."""

    type: str
    message: str
    metadata: dict[str, Any]


class MessagesError(BaseModel):
    """The body of an error response of Anthropic's messages."""

    type: Literal["error"]
    error: MessagesErrorDetail
    request_id: str
