"""Models of the response of OpenAI's responses, for chat's OpenAPI document and for tests."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class ResponseUsage(BaseModel):
    """OpenAI's counts, and the cost in USD; null when the price is unknown."""

    model_config = ConfigDict(extra="forbid")

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int
    cost: float | None


class ResponseAnswer(BaseModel):
    """A response that was not streamed; further fields repeat those of the request."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int
    status: Literal["completed", "incomplete", "failed"]
    error: dict[str, Any] | None
    incomplete_details: dict[str, Any] | None
    model: str
    output: list[dict[str, Any]]
    usage: ResponseUsage
    conversation: dict[str, Any] | None
    previous_response_id: str | None
    store: bool
