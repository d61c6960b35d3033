"""The operations of chat's routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from functions.chat.completion_request import CompletionRequest
from functions.chat.openai_errors import reworded
from functions.chat.request import ChatRequest
from shared import errors
from tools.openapi import document as openapi
from tools.openapi.chat_responses import CompletionAnswer, DryRunAnswer, TurnAnswer
from tools.openapi.document import Operation, Success
from tools.openapi.shared_routes import SHARED_OPERATIONS

DESCRIPTION = (
    "One turn with a model, as the AI SDK's UI message stream (https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol) or "
    "OpenAI's chat completions. After the first byte of a stream, errors are events of it."
)
_EVENTS = "text/event-stream"
_HEADERS = {
    "X-Model": "The model that serves; percent-encoded when a header cannot hold the name.",
    "X-Fallbacks": "How many routes were skipped before it.",
    "X-Ignored-Params": "Names of fields and parameters without effect; absent when there are none.",
    "x-ratelimit-limit-requests": "Requests per day; absent without a limit, like the next three.",
    "x-ratelimit-remaining-requests": "Requests left.",
    "x-ratelimit-reset-requests": "Time until the limit resets, like `3600s`.",
    "x-budget-remaining-usd": "USD left to spend.",
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
    {200: Success("The answer: events unless `stream` is false.", TurnAnswer, also=_EVENTS)},
    body=ChatRequest,
    errors=(
        *_ADMISSION,
        *_MODEL_FAILS,
        errors.ConversationNotFound,
        errors.TurnInProgress,
        errors.RequestInProgress,
        errors.IdempotencyMismatch,
    ),
    takes={
        "Idempotency-Key": "Makes a retry safe: it returns the stored answer. 1 to 255 printable ASCII characters.",
    },
    headers=_HEADERS
    | {
        "Idempotent-Replayed": "`true` when this is the stored answer of the same key.",
        "x-vercel-ai-ui-message-stream": "`v1` when the response is a stream.",
    },
    name="create_turn",
)
STREAMED_TURN = replace(
    TURN,
    summary="One turn of a conversation, always streamed.",
    name="stream_turn",
    successes={
        200: Success("The answer as events; `stream` is ignored. With `dry_run`, JSON.", DryRunAnswer, also=_EVENTS)
    },
)
RESUME = Operation(
    "The request of `useChat` with `resume`.",
    {204: Success("A stream ends with its request; `rpc/ui_messages` has the messages.")},
    name="resume_stream",
)
COMPLETION = Operation(
    "One answer to a conversation that the client keeps.",
    {200: Success("The answer; events when `stream` is true.", CompletionAnswer, also=_EVENTS)},
    body=CompletionRequest,
    errors=(*_ADMISSION, *_MODEL_FAILS),
    words=reworded,
    name="create_completion",
    headers=_HEADERS,
)

OPERATIONS = {
    **SHARED_OPERATIONS,
    "take_turn": TURN,
    "POST /chat/stream": STREAMED_TURN,
    "resume": RESUME,
    "complete": COMPLETION,
}


def document(handlers: Mapping[str, str]) -> dict[str, Any]:
    """The document of `{"METHOD /path": handler name}`."""
    return openapi.document("Parley chat", DESCRIPTION, handlers, OPERATIONS)
