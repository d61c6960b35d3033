"""The values of a turn: the request for admission, the admitted turn, its result and its receipt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.events import Usage
from shared.files import File, NotSent
from shared.messages import Message
from shared.routes import Attempt, Route

Status = Literal["completed", "cancelled", "partial", "failed"]

Logged = bool | Literal["spooled"]


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A turn that a function asks the ledger to admit. The fields are those of `chat_begin`, which replaces None.

    Agents and models: `agent` is the likely agent, `asked_agent` the agent in the request. `agent_models` has the
    preferred models of each agent: keys, identifiers or aliases, of which the first active one is used when the request
    names no model. Policies such as `auto` choose among models with the abilities in `needs` (`supports_vision`, …).
    Turns with the same `seed` get the same arm of an alias; without one each conversation draws its own.
    `providers` are those that can be called (None: all); `defaults` has the default model of each. Both are from
    `shared.provider_config.deployment`.
    Tokens: `prompt_tokens` and `tool_tokens` are upper bounds for the system prompt and the tools, one token per byte.
    Tools count only when a model of the route can use them.
    Presets: `preset_version` is the version of the prompt, for the log row.
    Other interfaces: `channel_id` and `thread_ts` are the channel and thread in which a new conversation begins.
    Storage: with `log_words` the log row has the redacted text even if the turn is not stored.
    Regenerating: `question_id` is the client's own id of the question. With `regenerate` the model answers an earlier
    turn again: that of `message_id` (an answer or question), else of `question_id`, else the latest with the same text.
    Without it, `message_id` is the question that this one edits. The new answer replaces that turn and later turns of
    the same user.
    Resuming: a `resumable` turn goes on when its client hangs up; its lease is short and is renewed by its pieces.
    Files: each of `files` has the fields of `shared.files.File`, or only the `id` of a file of the conversation.
    """

    endpoint: str
    request_id: str
    message: str
    conversation_id: str | None = None
    client_id: str | None = None
    channel_id: str | None = None
    thread_ts: str | None = None
    model: str | None = None
    agent: str | None = None
    asked_agent: str | None = None
    agent_models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    providers: tuple[str, ...] | None = None
    defaults: tuple[Mapping[str, Any], ...] = ()
    max_tokens: int | None = None
    prompt_tokens: int = 0
    tool_tokens: int = 0
    idempotency_key: str | None = None
    body_hash: str | None = None
    store: bool = True
    strict_model: bool = False
    dry_run: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    log_words: bool = False
    question_id: str | None = None
    message_id: str | None = None
    regenerate: bool = False
    resumable: bool = False
    seed: str | None = None
    preset_version: str | None = None
    files: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What is left of a user's caps after the reservation of a turn; None where there is no cap."""

    requests_limit: int | None
    requests_remaining: int | None
    requests_reset_at: str
    budget_remaining_usd: float | None


@dataclass(frozen=True, slots=True)
class Quote:
    """What a turn may cost. When no route has a known price, `least_usd` is None and nothing is reserved."""

    input_tokens: int
    least_usd: float | None
    reserve_usd: float | None


@dataclass(frozen=True, slots=True)
class Profile:
    """A user's preferences; None where nothing is set."""

    skill_level: str | None = None
    communication_style: str | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """The stored result of an earlier request with the same idempotency key; `cost_usd` is None when unknown."""

    status: Status = "completed"
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    identifier: str | None = None
    content: str = ""
    message_id: str | None = None
    duration_ms: int = 0
    ttft_ms: int | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    agent_type: str | None = None
    agents: tuple[str, ...] = ()
    tools_used: tuple[Mapping[str, Any], ...] = ()
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """An admitted turn, with everything that is needed to run and to finish it.

    `replay` is set for a repeated idempotency key. `quote` is None for a replay. `history_left_out` is the number of
    messages that did not fit. `speaker` is the user's name in a conversation of several users, else None. `agent`
    answers first: the requested one, else the one that the user prefers, else (`is_agent_guessed`) the likely one.
    `files` are those of the question.
    """

    turn_id: str
    request_id: str
    worker_id: str
    conversation_id: str | None
    routes: tuple[Route, ...]
    reason: str
    history: tuple[Message, ...] = ()
    is_stored: bool = True
    limits: Limits | None = None
    quote: Quote | None = None
    replay: Replay | None = None
    user_id: str = ""
    history_left_out: int = 0
    speaker: str | None = None
    profile: Profile = Profile()
    agent: str | None = None
    is_agent_guessed: bool = False
    is_resumable: bool = False
    files: tuple[File | NotSent, ...] = ()


@dataclass(frozen=True, slots=True)
class TurnResult:
    """How a turn ended. `content` and `parts` are verbatim, for the conversation; the log row gets `content` redacted.

    `agent_type` is the last agent; `agents` are all agents in order, and `handoffs` counts the changes. `tools_used`
    are {name, ms, ok, …} without arguments and results, because they are logged even if the turn is not stored.
    `escalation` is the reason of a hand-off. `context_tokens` is the provider's own count of the last prompt; None when
    the provider did not count it. `insight` is an answer for assist's cache, as `finish_insight` takes it.
    """

    turn: Turn
    status: Status
    route: Route
    content: str
    usage: Usage
    duration_ms: int
    ttft_ms: int | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    attempts: tuple[Attempt, ...] = ()
    agent_type: str | None = None
    agents: tuple[str, ...] = ()
    tools_used: tuple[Mapping[str, Any], ...] = ()
    domain: str | None = None
    domain_confidence: float | None = None
    skill: str | None = None
    escalation: Mapping[str, Any] | None = None
    handoffs: int = 0
    context_tokens: int | None = None
    parts: tuple[Mapping[str, Any], ...] | None = None
    insight: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The end of a turn. `logged` is True when the turn is booked and "spooled" when refresh will book it.

    It is False when only the function's log has the turn, or when another worker has taken it over.
    `attempt_costs` are the costs of the result's attempts in USD, None where unknown; empty unless the turn is booked.
    `insight_id` is the entry of the result's insight in assist's cache; None when it is not kept.
    """

    result: TurnResult
    cost_usd: float | None
    logged: Logged
    message_id: str | None = None
    attempt_costs: tuple[float | None, ...] = ()
    insight_id: int | None = None
