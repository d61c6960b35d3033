"""Errors of a request: the client can correct, shorten or repeat it."""

from __future__ import annotations

from shared.errors.root import ParleyError


class InvalidRequest(ParleyError):
    """The body is not JSON, is nested too deeply, or a header has a wrong value."""

    status, code = 400, "invalid_request"
    client_action = "Correct the request. `param` names the header, if it is one."


class PreviousResponseNotFound(ParleyError):
    """The response or item that a request continues is not stored in a conversation of the user."""

    status, code = 400, "previous_response_not_found"
    default_param = "previous_response_id"
    client_action = "Send the conversation itself."


class Unauthenticated(ParleyError):
    """The access token is missing, expired or not valid."""

    status, code = 401, "invalid_token"
    client_action = "Refresh the session or sign in again, then retry."


class InvalidApiKey(Unauthenticated):
    """The API key does not exist, has expired or is revoked, or its account is suspended: `metadata.reason`."""

    code = "invalid_api_key"
    client_action = "Use another key, or create one."


class BudgetExceeded(ParleyError):
    """A budget of the user, the API key or the project does not cover this turn: `metadata.scope`."""

    status, code = 402, "budget_exceeded"
    client_action = "Show `metadata.resets_at`. A smaller `max_tokens` or a cheaper model may still fit."


class Forbidden(ParleyError):
    """The user is signed in but may not do this."""

    status, code = 403, "forbidden"
    client_action = "Do not retry. Use an account with the right role."


class InsufficientScope(Forbidden):
    """The API key lacks the scope that this request needs, or API keys may not do this."""

    code = "insufficient_scope"
    client_action = "Create a key with the scope in `metadata.scope`, or send an access token."


class AppNotAllowed(Forbidden):
    """The OAuth app of the token is not allowed by the operator, is revoked by the user, or may not do this."""

    code = "app_not_allowed"
    client_action = "Ask the operator to allow the app, or sign in without it."


class SecondFactorRequired(Forbidden):
    """The deployment demands a second factor of admins, and this session has none."""

    code = "second_factor_required"
    client_action = "Sign in with a second factor (`aal2`), then retry."


class NotFound(ParleyError):
    """The path or the client node does not exist."""

    status, code = 404, "not_found"
    client_action = "Check the URL."


class ConversationNotFound(NotFound):
    """The conversation does not exist or the user is not a member."""

    code = "conversation_not_found"
    client_action = "Leave out `conversation_id` to begin a new conversation."


class ModelNotFound(NotFound):
    """No active model has this name, and the request allows no substitute."""

    code = "model_not_found"
    default_param = "model"
    client_action = "Choose a model from `GET /v1/models`."


class MethodNotAllowed(ParleyError):
    """The path exists but does not take this method."""

    status, code = 405, "method_not_allowed"
    client_action = "Use a method of the `Allow` header."


class NotAcceptable(ParleyError):
    """The client takes no response in the form that the endpoint has."""

    status, code = 406, "not_acceptable"
    client_action = "Send the `Accept` header that the message names."


class RequestTimeout(ParleyError):
    """The body did not arrive in time."""

    status, code = 408, "request_timeout"
    client_action = "Retry over a faster connection, or shorten the request."


class Conflict(ParleyError):
    """Another run of refresh has taken over the work."""

    status, code = 409, "conflict"
    client_action = "Do not retry; the newer run completes it."


class RequestInProgress(Conflict):
    """A request with the same idempotency key is still running."""

    code = "request_in_progress"
    client_action = "Retry with the same key after `Retry-After`."


class TurnInProgress(Conflict):
    """Another turn of the conversation is still running."""

    code = "turn_in_progress"
    client_action = "Retry after `Retry-After`."


class AlreadyRunning(Conflict):
    """Another refresh is running."""

    code = "already_running"
    client_action = "Retry after `Retry-After`, or wait for the next schedule."


class BodyTooLarge(ParleyError):
    """The body has more bytes than the endpoint takes."""

    status, code = 413, "body_too_large"
    client_action = "Shorten the request to `metadata.max_bytes`."


class UnsupportedMediaType(ParleyError):
    """The body is not `application/json` in UTF-8, or it is compressed."""

    status, code = 415, "unsupported_media_type"
    client_action = "Send uncompressed JSON with the right `Content-Type`."


class Unprocessable(ParleyError):
    """A field has a wrong value, or asks for something that the model cannot do."""

    status, code = 422, "validation_failed"
    client_action = "Correct what the message names; `param` is the field, if it is one."


class ContextExceeded(Unprocessable):
    """The message is longer than the model's context window."""

    code = "context_exceeded"
    client_action = "Shorten the message or choose a model with a larger window."


class IdempotencyMismatch(Unprocessable):
    """The idempotency key was used before with another body."""

    code = "idempotency_mismatch"
    client_action = "Use a new key for a new request."


class QuotaExceeded(ParleyError):
    """The user or the project has used all requests of the period."""

    status, code = 429, "quota_exceeded"
    client_action = "Show `metadata.resets_at`; retry after `Retry-After`."


class TooManyTurns(ParleyError):
    """The user has as many running turns as one user may have."""

    status, code = 429, "too_many_turns"
    client_action = "Retry after `Retry-After`."


class TooManyFollowers(ParleyError):
    """The user, or all users of the instance together, read as many running answers as they may at once."""

    status, code = 429, "too_many_followers"
    client_action = "Close streams that are not read, or retry after `Retry-After`."
