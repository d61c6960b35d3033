"""The operations of chat's routes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from functions.chat.protocols.completions.request import CompletionRequest
from functions.chat.protocols.messages.errors import reworded as in_anthropics_words
from functions.chat.protocols.messages.request import MessagesRequest
from functions.chat.protocols.openai_errors import reworded
from functions.chat.protocols.responses.request import ResponsesRequest
from functions.chat.protocols.text_completions.request import TextCompletionRequest
from functions.chat.request import ChatRequest
from shared import errors
from tools.openapi import document as openapi
from tools.openapi.chat_responses import CompletionAnswer, DryRunAnswer, StopAnswer, TextCompletionAnswer, TurnAnswer
from tools.openapi.document import Operation, Success
from tools.openapi.messages_responses import MessageAnswer, MessagesError, TokenCount
from tools.openapi.responses_responses import ResponseAnswer
from tools.openapi.shared_routes import SHARED_OPERATIONS

DESCRIPTION = (
    "One turn with a model, as the AI SDK's UI message stream (https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol), "
    "OpenAI's chat completions and responses, or Anthropic's messages. "
    "After the first byte of a stream, errors are events of it."
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
FOLLOW = Operation(
    "The running resumable turn of a conversation, from its start to its end; the request of `useChat` with `resume`.",
    {
        200: Success("The stream of the turn, as its own client reads it.", also=_EVENTS),
        204: Success("No resumable turn is running; `rpc/ui_messages` has the messages."),
    },
    errors=(errors.DatabaseUnavailable, errors.TooManyFollowers),
    name="resume_stream",
    headers={"x-vercel-ai-ui-message-stream": "`v1`."},
)
STOP = Operation(
    "Stops the running resumable turn of a conversation; its words are kept.",
    {200: Success("Whether a turn was running, and which.", StopAnswer)},
    errors=(errors.ConversationNotFound, errors.DatabaseUnavailable),
    name="stop_turn",
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
TEXT_COMPLETION = Operation(
    "One answer to a prompt, in OpenAI's old format.",
    {200: Success("The answer; events when `stream` is true.", TextCompletionAnswer, also=_EVENTS)},
    body=TextCompletionRequest,
    errors=(*_ADMISSION, *_MODEL_FAILS),
    words=reworded,
    headers=_HEADERS,
)
RESPONSE = Operation(
    "One answer in OpenAI's newer format.",
    {200: Success("The response; events when `stream` is true.", ResponseAnswer, also=_EVENTS)},
    body=ResponsesRequest,
    errors=(
        *_ADMISSION,
        *_MODEL_FAILS,
        errors.PreviousResponseNotFound,
        errors.ConversationNotFound,
        errors.TurnInProgress,
    ),
    words=reworded,
    headers=_HEADERS,
)
MESSAGE = Operation(
    "One answer in Anthropic's format to a conversation that the client keeps.",
    {200: Success("The message; events when `stream` is true.", MessageAnswer, also=_EVENTS)},
    body=MessagesRequest,
    errors=(*_ADMISSION, *_MODEL_FAILS),
    words=in_anthropics_words,
    error_body=MessagesError,
    headers=_HEADERS,
)
TOKENS = Operation(
    "An estimate of the input tokens of a message.",
    {200: Success("The estimate.", TokenCount)},
    body=MessagesRequest,
    words=in_anthropics_words,
    error_body=MessagesError,
)

OPERATIONS = {
    **SHARED_OPERATIONS,
    "take_turn": TURN,
    "POST /chat/stream": STREAMED_TURN,
    "follow_turn": FOLLOW,
    "stop_turn": STOP,
    "complete": COMPLETION,
    "complete_text": TEXT_COMPLETION,
    "create_response": RESPONSE,
    "create_message": MESSAGE,
    "count_tokens": TOKENS,
}


def document(handlers: Mapping[str, str]) -> dict[str, Any]:
    """The document of `{"METHOD /path": handler name}`."""
    return openapi.document("Parley chat", DESCRIPTION, handlers, OPERATIONS)
