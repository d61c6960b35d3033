"""Everything that can go wrong, as one tree; each class carries its HTTP status and machine code.

ParleyError
├── InvalidRequest 400 invalid_request
├── Unauthenticated 401 invalid_token
├── BudgetExceeded 402 budget_exceeded
├── Forbidden 403 forbidden
├── NotFound 404 not_found
│   ├── ConversationNotFound 404 conversation_not_found
│   └── ModelNotFound 404 model_not_found
├── MethodNotAllowed 405 method_not_allowed
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
├── InternalError 500 internal_error
│   └── NotConfigured 500 not_configured
├── ProviderError 502 provider_error
│   ├── AnswerCut 502 answer_cut
│   ├── OutputInvalid 502 output_invalid
│   ├── ProviderRefused 502 provider_refused
│   ├── ProviderAuthFailed 502 provider_auth_failed
│   ├── ModelUnavailable 502 model_unavailable
│   ├── ProviderOverloaded 503 provider_overloaded
│   ├── ProviderUnreachable 503 provider_unreachable
│   ├── ProviderUnavailable 503 provider_unavailable
│   ├── NodeFailed 503 node_failed
│   └── ProviderTimeout 504 provider_timeout
└── DependencyDown 503 dependency_down
    ├── DatabaseUnavailable 503 database_unavailable
    ├── NoDefaultModel 503 no_default_model
    └── KeysUnavailable 503 keys_unavailable
"""

from __future__ import annotations

from typing import Any, ClassVar


class ParleyError(Exception):
    """A failure a caller is told about: `message` is safe to show, `metadata` is JSON.

    `status` is its class's, unless whoever raises or passes it on knows better.

    `retry_after_seconds` becomes the Retry-After header; None when waiting does not help or nobody knows how long.
    """

    status: int = 500
    code: ClassVar[str] = "internal_error"

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
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        self.metadata = metadata or {}
        self.headers = headers or {}


class InvalidRequest(ParleyError):
    status, code = 400, "invalid_request"


class Unauthenticated(ParleyError):
    status, code = 401, "invalid_token"


class BudgetExceeded(ParleyError):
    status, code = 402, "budget_exceeded"


class Forbidden(ParleyError):
    status, code = 403, "forbidden"


class NotFound(ParleyError):
    status, code = 404, "not_found"


class ConversationNotFound(NotFound):
    code = "conversation_not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(ParleyError):
    status, code = 405, "method_not_allowed"


class Conflict(ParleyError):
    status, code = 409, "conflict"


class RequestInProgress(Conflict):
    code = "request_in_progress"


class TurnInProgress(Conflict):
    """Another turn of the conversation is still being answered."""

    code = "turn_in_progress"


class AlreadyRunning(Conflict):
    code = "already_running"


class BodyTooLarge(ParleyError):
    status, code = 413, "body_too_large"


class UnsupportedMediaType(ParleyError):
    status, code = 415, "unsupported_media_type"


class Unprocessable(ParleyError):
    status, code = 422, "validation_failed"


class ContextExceeded(Unprocessable):
    code = "context_exceeded"


class IdempotencyMismatch(Unprocessable):
    code = "idempotency_mismatch"


class QuotaExceeded(ParleyError):
    status, code = 429, "quota_exceeded"


class TooManyTurns(ParleyError):
    """As many turns of this person as may run at once are running."""

    status, code = 429, "too_many_turns"


class InternalError(ParleyError):
    status, code = 500, "internal_error"


class NotConfigured(InternalError):
    code = "not_configured"


class ProviderError(ParleyError):
    """A model's provider failed; `upstream_status` is its HTTP status when there was one.

    `is_transient` when the same call may succeed a moment later: only then is it made again.
    `may_succeed_elsewhere` when another route may answer the same request.
    `is_fault` when it counts against the model or node, not against this request.
    `open_seconds` asks for no further calls there for so long; None when one failure says little.
    """

    status, code = 502, "provider_error"
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
    """An answer that had begun ended before its end."""

    code = "answer_cut"


class OutputInvalid(ProviderError):
    """An answer that does not fit the schema it was asked for, also after it was asked to mend it."""

    code = "output_invalid"
    is_transient = may_succeed_elsewhere = is_fault = False


class ProviderRefused(ProviderError):
    """The provider takes this request for wrong."""

    code = "provider_refused"
    is_transient = may_succeed_elsewhere = is_fault = False


class ProviderAuthFailed(ProviderError):
    """Our key is wrong or our account has no credit."""

    code = "provider_auth_failed"
    is_transient = is_fault = False


class ModelUnavailable(ProviderError):
    """The provider does not serve this model, or not to our account or region."""

    code = "model_unavailable"
    is_transient = False


class ProviderOverloaded(ProviderError):
    status, code = 503, "provider_overloaded"


class ProviderUnreachable(ProviderError):
    status, code = 503, "provider_unreachable"


class ProviderUnavailable(ProviderError):
    """Nothing was called: its circuit is open, or this deployment does not speak it."""

    status, code = 503, "provider_unavailable"
    is_transient = is_fault = False


class NodeFailed(ProviderError):
    """Whatever went wrong with a client node: one message, so that nobody can feel their way around through us."""

    status, code = 503, "node_failed"

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
        """The same failure without what it says of the node."""
        return cls(
            is_transient=error.is_transient,
            may_succeed_elsewhere=error.may_succeed_elsewhere,
            is_fault=error.is_fault,
            open_seconds=error.open_seconds,
        )


class ProviderTimeout(ProviderError):
    status, code = 504, "provider_timeout"


class DependencyDown(ParleyError):
    status, code = 503, "dependency_down"


class DatabaseUnavailable(DependencyDown):
    code = "database_unavailable"


class NoDefaultModel(DependencyDown):
    code = "no_default_model"


class KeysUnavailable(DependencyDown):
    code = "keys_unavailable"


def _tree(root: type[ParleyError]) -> list[type[ParleyError]]:
    return [root, *(found for child in root.__subclasses__() for found in _tree(child))]


BY_CODE: dict[str, type[ParleyError]] = {cls.code: cls for cls in _tree(ParleyError)}
"""Error class by machine code, for refusals that the database words."""
