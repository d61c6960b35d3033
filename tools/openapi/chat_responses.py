"""Models of chat's JSON responses, for its OpenAPI document and for tests."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from shared.events import Usage


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PlannedRoute(_Closed):
    """The chosen model, why it was chosen, and its fallbacks."""

    identifier: str
    provider: str
    model: str
    node_id: int | None
    label: str | None = None
    reason: str
    fallbacks: list[str]


class ReceiptAnswer(_Closed):
    """The route, usage and cost of a turn; `cost_usd` is null when the price is unknown."""

    turn_id: str
    request_id: str
    conversation_id: str | None
    route: PlannedRoute
    agents: list[str]
    tools_used: list[dict[str, Any]]
    usage: Usage
    cost_usd: float | None
    duration_ms: int
    ttft_ms: int | None
    logged: bool | str = Field(description="`true`, `false` or `spooled`: stored later.")


class AnswerMessage(_Closed):
    """The answer; without an id when it is not stored."""

    id: str | None
    role: Literal["assistant"]
    content: str


class WholeAnswer(_Closed):
    """A turn that was not streamed."""

    id: str
    conversation_id: str | None
    message: AnswerMessage
    route: PlannedRoute
    agent: str | None
    usage: Usage
    cost_usd: float | None
    finish_reason: str | None
    tools_used: list[dict[str, Any]]
    receipt: ReceiptAnswer


class CostRange(_Closed):
    """USD."""

    least: float
    most: float


class Estimate(_Closed):
    """Tokens and cost of a turn before it runs; no cost when the price is unknown."""

    input_tokens: int
    max_output_tokens: int
    cost_usd: CostRange | None


class LimitsLeft(_Closed):
    """What is left of the user's limits; null without a limit."""

    requests_remaining: int | None
    requests_reset_at: str
    budget_remaining_usd: float | None


class DryRunAnswer(_Closed):
    """The response to `dry_run`."""

    route: PlannedRoute
    estimate: Estimate
    limits: LimitsLeft | None


class TurnAnswer(RootModel[WholeAnswer | DryRunAnswer]):
    """The answer of a turn, or with `dry_run` its plan."""


class CompletionCallFunction(_Closed):
    """The function and its arguments, as the model wrote them."""

    name: str
    arguments: str


class CompletionCall(_Closed):
    """A tool call that the client makes."""

    id: str
    type: Literal["function"]
    function: CompletionCallFunction


class CompletionMessage(BaseModel):
    """The answer; `tool_calls` and `reasoning_content` only when there are any."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[CompletionCall] = []
    reasoning_content: str = ""


class CompletionChoice(_Closed):
    """The only choice."""

    index: Literal[0]
    message: CompletionMessage
    logprobs: None
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]


class CompletionUsage(_Closed):
    """OpenAI's counts, and the cost in USD; null when the price is unknown."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]
    completion_tokens_details: dict[str, int]
    cost: float | None


class CompletionAnswer(_Closed):
    """A completion that was not streamed."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage
