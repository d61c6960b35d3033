"""What chat's routes take and give, for its OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from functions.chat.answers import CompletionAnswer, DryRunAnswer, TurnAnswer
from functions.chat.completion_request import CompletionRequest
from functions.chat.request import ChatRequest
from shared import errors, openapi
from shared.openapi import Answer, Operation
from shared.openapi_common import SHARED_OPERATIONS

DESCRIPTION = (
    "One turn with a model, as the AI SDK's UI message stream (https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol) or "
    "OpenAI's chat completions. After the first byte of a stream, errors are events of it."
)
_EVENTS = "text/event-stream"
_HEADERS = {
    "X-Model": "Who serves; percent-encoded where a header cannot hold the name.",
    "X-Fallbacks": "How many routes were passed over before it.",
    "x-ratelimit-limit-requests": "Requests a day; absent without a limit, like the next three.",
    "x-ratelimit-remaining-requests": "What is left of them.",
    "x-ratelimit-reset-requests": "When they are anew, like `3600s`.",
    "x-budget-remaining-usd": "What is left to spend.",
}
_MODEL_FAILS = (
    errors.ProviderError,
    errors.AnswerCut,
    errors.ProviderRefused,
    errors.ProviderAuthFailed,
    errors.ModelUnavailable,
    errors.ProviderOverloaded,
    errors.ProviderUnreachable,
    errors.ProviderUnavailable,
    errors.NodeFailed,
    errors.ProviderTimeout,
    errors.NotConfigured,
)
_ADMISSION = (
    errors.BudgetExceeded,
    errors.QuotaExceeded,
    errors.TooManyTurns,
    errors.ModelNotFound,
    errors.ContextExceeded,
    errors.NoDefaultModel,
    errors.DependencyDown,
)
TURN = Operation(
    "One turn of a conversation.",
    {200: Answer("The answer: events unless `stream` is false.", TurnAnswer, also=_EVENTS)},
    body=ChatRequest,
    refusals=(
        *_ADMISSION,
        *_MODEL_FAILS,
        errors.ConversationNotFound,
        errors.TurnInProgress,
        errors.RequestInProgress,
        errors.IdempotencyMismatch,
    ),
    takes={
        "Idempotency-Key": "Makes a retry safe: the stored answer comes back. 1 to 255 printable ASCII characters.",
    },
    headers=_HEADERS
    | {
        "Idempotent-Replayed": "`true` when the stored answer of the same key came back.",
        "x-vercel-ai-ui-message-stream": "`v1`, of events.",
    },
)
STREAMED_TURN = replace(
    TURN,
    summary="One turn of a conversation, always streamed.",
    answers={
        200: Answer("The answer as events, whatever `stream` says; with `dry_run` JSON.", DryRunAnswer, also=_EVENTS)
    },
)
RESUME = Operation(
    "What `useChat` asks with `resume`.",
    {204: Answer("No stream outlives its request; `rpc/ui_messages` has what was said.")},
)
COMPLETION = Operation(
    "One answer to a conversation that the caller keeps.",
    {200: Answer("The answer; events when `stream` is true.", CompletionAnswer, also=_EVENTS)},
    body=CompletionRequest,
    refusals=(*_ADMISSION, *_MODEL_FAILS),
    told_as={422: (errors.ProviderRefused,)},  # the conversation is the caller's own
    headers=_HEADERS,
)

OPERATIONS = {
    **SHARED_OPERATIONS,
    "take_turn": TURN,
    "stream_turn": STREAMED_TURN,
    "resume": RESUME,
    "complete": COMPLETION,
}


def document(handlers: Mapping[str, str]) -> dict[str, Any]:
    """The document of `{"METHOD /path": name of its handler}`."""
    return openapi.document("Parley chat", DESCRIPTION, handlers, OPERATIONS)
