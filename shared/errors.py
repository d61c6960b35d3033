"""The errors of Parley as one tree: each class has an HTTP status, a machine code and advice for the client.

The first paragraph of a docstring says when the error occurs. docs/errors.md is generated from it.

ParleyError
├── InvalidRequest 400 invalid_request
├── PreviousResponseNotFound 400 previous_response_not_found
├── Unauthenticated 401 invalid_token
│   └── InvalidApiKey 401 invalid_api_key
├── BudgetExceeded 402 budget_exceeded
├── Forbidden 403 forbidden
│   ├── InsufficientScope 403 insufficient_scope
│   ├── AppNotAllowed 403 app_not_allowed
│   └── SecondFactorRequired 403 second_factor_required
├── NotFound 404 not_found
│   ├── ConversationNotFound 404 conversation_not_found
│   └── ModelNotFound 404 model_not_found
├── MethodNotAllowed 405 method_not_allowed
├── RequestTimeout 408 request_timeout
├── Conflict 409 conflict
│   ├── RequestInProgress 409 request_in_progress
│   ├── TurnInProgress 409 turn_in_progress
│   └── AlreadyRunning 409 already_running
├── BodyTooLarge 413 body_too_large
├── UnsupportedMediaType 415 unsupported_media_type
├── Unprocessable 422 validation_failed
│   ├── ContextExceeded 422 context_exceeded
│   └── IdempotencyMismatch 422 idempotency_mismatch
├── QuotaExceeded 429 quota_exceeded
├── TooManyTurns 429 too_many_turns
├── TooManyFollowers 429 too_many_followers
├── InternalError 500 internal_error
│   └── NotConfigured 500 not_configured
├── ProviderError 502 provider_error
│   ├── AnswerCut 502 answer_cut
│   ├── OutputInvalid 502 output_invalid
│   ├── ProviderRefused 502 provider_refused
│   ├── ContextLengthExceeded 400 context_length_exceeded
│   ├── ProviderAuthFailed 502 provider_auth_failed
│   ├── ModelUnavailable 502 model_unavailable
│   ├── ProviderOverloaded 503 provider_overloaded
│   ├── ProviderUnreachable 503 provider_unreachable
│   ├── ProviderUnavailable 503 provider_unavailable
│   ├── NodeFailed 503 node_failed
│   └── ProviderTimeout 504 provider_timeout
│       └── TurnTimeout 504 turn_timeout
├── NotCached 504 not_cached
└── DependencyDown 503 dependency_down
    ├── DatabaseUnavailable 503 database_unavailable
    │   └── DatabaseBusy 503 database_busy
    ├── NoDefaultModel 503 no_default_model
    └── KeysUnavailable 503 keys_unavailable
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal


@dataclass(frozen=True, slots=True)
class Wording:
    """The code and type of an error in the words of another protocol, and the company whose shape it has."""

    code: str
    type: str
    shape: Literal["openai", "anthropic"] = "openai"


class ParleyError(Exception):
    """An error that the client sees: `message` is safe to show, `metadata` is JSON.

    `status` is the class's HTTP status; an instance may have another one.
    `client_action` says what a client does about it. `param` is the field or header with the fault, if it is one.
    `retry_after_seconds` becomes the Retry-After header; None when waiting does not help or the time is unknown.
    `wording` has the words of a borrowed protocol; None for our own.
    """

    wording: Wording | None = None
    status: int = 500
    code: ClassVar[str] = "internal_error"
    client_action: ClassVar[str] = "Retry later; report `request_id` to the operator if it persists."
    default_param: ClassVar[str | None] = None

    def __init__(
        self,
        message: str = "Something went wrong on our side.",
        *,
        param: str | None = None,
        retry_after_seconds: float | None = None,
        metadata: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param or self.default_param
        self.retry_after_seconds = retry_after_seconds
        self.metadata = metadata or {}
        self.headers = headers or {}


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


class InternalError(ParleyError):
    """Parley failed: a bug, or an unexpected answer of the database."""

    status, code = 500, "internal_error"


class NotConfigured(InternalError):
    """The deployment lacks a variable that this request needs."""

    code = "not_configured"
    client_action = "Ask the operator, whose log names the variable."


class ProviderError(ParleyError):
    """The provider failed, or its answer cannot be read.

    `upstream_status` is the provider's HTTP status; None when there was no answer.
    `is_transient`: the same call may succeed a moment later, so the gateway may repeat it.
    `may_succeed_elsewhere`: another route may answer the same request.
    `is_fault`: the failure counts for the circuit of the model or node.
    `open_seconds`: how long to make no call there; None when one failure is not enough to decide.
    `upstream_code`: the provider's machine code; None when it sent none.
    """

    upstream_code: str | None = None
    status, code = 502, "provider_error"
    client_action = "Retry, or choose another model."
    is_transient: bool = True
    may_succeed_elsewhere: bool = True
    is_fault: bool = True

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int | None = None,
        retry_after_seconds: float | None = None,
        open_seconds: float | None = None,
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.upstream_status = upstream_status
        self.open_seconds = open_seconds


class AnswerCut(ProviderError):
    """The connection to the provider ended in the middle of the answer."""

    code = "answer_cut"
    client_action = "Show the part that arrived; offer to try again."


class OutputInvalid(ProviderError):
    """The model's output does not match the requested schema, even after one repair."""

    code = "output_invalid"
    client_action = "Try again, or choose another model."
    is_transient = may_succeed_elsewhere = is_fault = False


class ProviderRefused(ProviderError):
    """The provider rejected the request as invalid or against its policy."""

    code = "provider_refused"
    client_action = "Change the request. The same request fails again."
    is_transient = may_succeed_elsewhere = is_fault = False


class ContextLengthExceeded(ProviderError):
    """The provider counted more tokens than the model's context window holds.

    A route with a larger window may answer.
    """

    status, code = 400, "context_length_exceeded"
    client_action = "Shorten the conversation or choose a model with a larger window."
    default_param = "messages"
    is_transient = may_succeed_elsewhere = is_fault = False


class ProviderAuthFailed(ProviderError):
    """The provider rejected the operator's key, or the operator's account has no credit."""

    code = "provider_auth_failed"
    client_action = "Choose a model of another provider; inform the operator."
    is_transient = is_fault = False


class ModelUnavailable(ProviderError):
    """The provider does not serve this model to the operator's account or region."""

    code = "model_unavailable"
    client_action = "Choose another model."
    is_transient = False


class ProviderOverloaded(ProviderError):
    """The provider is overloaded or limits the rate of requests."""

    status, code = 503, "provider_overloaded"
    client_action = "Retry after `Retry-After`, or choose another model."


class ProviderUnreachable(ProviderError):
    """The connection to the provider failed."""

    status, code = 503, "provider_unreachable"
    client_action = "Retry, or choose another model."


class ProviderUnavailable(ProviderError):
    """Parley made no call: the circuit is open, or the deployment has no client for this provider."""

    status, code = 503, "provider_unavailable"
    client_action = "Retry after `Retry-After`, or choose another model."
    is_transient = is_fault = False


class NodeFailed(ProviderError):
    """The client node failed. The message is always the same, so that it discloses nothing about the network.

    The reason may be an address, a key, a timeout or a malformed answer.
    """

    status, code = 503, "node_failed"
    client_action = "Check the node's address, key and server; `POST /nodes/{id}/probe` tests them."

    def __init__(
        self,
        message: str = "The client node could not be reached or did not answer as expected.",
        *,
        is_transient: bool = True,
        may_succeed_elsewhere: bool | None = None,
        is_fault: bool | None = None,
        open_seconds: float | None = None,
    ) -> None:
        super().__init__(message, open_seconds=open_seconds)
        self.is_transient = is_transient
        self.may_succeed_elsewhere = is_transient if may_succeed_elsewhere is None else may_succeed_elsewhere
        self.is_fault = is_transient if is_fault is None else is_fault

    @classmethod
    def of(cls, error: ProviderError) -> NodeFailed:
        """The same failure without details of the node."""
        return cls(
            is_transient=error.is_transient,
            may_succeed_elsewhere=error.may_succeed_elsewhere,
            is_fault=error.is_fault,
            open_seconds=error.open_seconds,
        )


class ProviderTimeout(ProviderError):
    """The model did not answer in time."""

    status, code = 504, "provider_timeout"
    client_action = "Retry, or choose a faster model."


class TurnTimeout(ProviderTimeout):
    """The turn's own time ended while the model was answering. It counts for no circuit."""

    code = "turn_timeout"
    client_action = "Ask for a shorter answer, or choose a faster model."
    is_transient = may_succeed_elsewhere = is_fault = False


class NotCached(ParleyError):
    """The request wants a stored answer only, and there is none."""

    status, code = 504, "not_cached"
    client_action = "Leave out `Cache-Control: only-if-cached` to ask a model."


class DependencyDown(ParleyError):
    """The secrets store or the spool cannot be reached."""

    status, code = 503, "dependency_down"
    client_action = "Retry after `Retry-After`."


class DatabaseUnavailable(DependencyDown):
    """The database cannot be reached in time."""

    code = "database_unavailable"
    client_action = "Retry after `Retry-After`."


class DatabaseBusy(DatabaseUnavailable):
    """The database is busy: a lock, a deadlock, a time limit, or no free connection. Nothing was changed."""

    code = "database_busy"


class NoDefaultModel(DependencyDown):
    """No model can answer a turn that names none."""

    code = "no_default_model"
    client_action = "Inform the operator: a provider needs a key, or the catalogue needs a default."


class KeysUnavailable(DependencyDown):
    """The public keys that verify access tokens cannot be fetched."""

    code = "keys_unavailable"
    client_action = "Retry after `Retry-After`."


def _tree(root: type[ParleyError]) -> list[type[ParleyError]]:
    return [root, *(found for child in root.__subclasses__() for found in _tree(child))]


BY_CODE: dict[str, type[ParleyError]] = {cls.code: cls for cls in _tree(ParleyError)}
"""Error classes by machine code, for refusals that the database raises."""
