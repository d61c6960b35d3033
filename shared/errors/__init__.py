"""The errors of Parley as one tree: each class has an HTTP status, a machine code and advice for the client.

The first paragraph of a docstring says when the error occurs. docs/errors.md is generated from it.
A new class needs a line in the drawing, and its name in the imports and in `__all__`.

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
├── NotAcceptable 406 not_acceptable
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

from shared.errors.client import (
    AlreadyRunning,
    AppNotAllowed,
    BodyTooLarge,
    BudgetExceeded,
    Conflict,
    ContextExceeded,
    ConversationNotFound,
    Forbidden,
    IdempotencyMismatch,
    InsufficientScope,
    InvalidApiKey,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    NotAcceptable,
    NotFound,
    PreviousResponseNotFound,
    QuotaExceeded,
    RequestInProgress,
    RequestTimeout,
    SecondFactorRequired,
    TooManyFollowers,
    TooManyTurns,
    TurnInProgress,
    Unauthenticated,
    Unprocessable,
    UnsupportedMediaType,
)
from shared.errors.provider import (
    AnswerCut,
    ContextLengthExceeded,
    ModelUnavailable,
    NodeFailed,
    OutputInvalid,
    ProviderAuthFailed,
    ProviderError,
    ProviderOverloaded,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
    ProviderUnreachable,
    TurnTimeout,
)
from shared.errors.root import ParleyError, Wording
from shared.errors.server import (
    DatabaseBusy,
    DatabaseUnavailable,
    DependencyDown,
    InternalError,
    KeysUnavailable,
    NoDefaultModel,
    NotCached,
    NotConfigured,
)

__all__ = [
    "BY_CODE",
    "AlreadyRunning",
    "AnswerCut",
    "AppNotAllowed",
    "BodyTooLarge",
    "BudgetExceeded",
    "Conflict",
    "ContextExceeded",
    "ContextLengthExceeded",
    "ConversationNotFound",
    "DatabaseBusy",
    "DatabaseUnavailable",
    "DependencyDown",
    "Forbidden",
    "IdempotencyMismatch",
    "InsufficientScope",
    "InternalError",
    "InvalidApiKey",
    "InvalidRequest",
    "KeysUnavailable",
    "MethodNotAllowed",
    "ModelNotFound",
    "ModelUnavailable",
    "NoDefaultModel",
    "NodeFailed",
    "NotAcceptable",
    "NotCached",
    "NotConfigured",
    "NotFound",
    "OutputInvalid",
    "ParleyError",
    "PreviousResponseNotFound",
    "ProviderAuthFailed",
    "ProviderError",
    "ProviderOverloaded",
    "ProviderRefused",
    "ProviderTimeout",
    "ProviderUnavailable",
    "ProviderUnreachable",
    "QuotaExceeded",
    "RequestInProgress",
    "RequestTimeout",
    "SecondFactorRequired",
    "TooManyFollowers",
    "TooManyTurns",
    "TurnInProgress",
    "TurnTimeout",
    "Unauthenticated",
    "Unprocessable",
    "UnsupportedMediaType",
    "Wording",
]


def _tree(root: type[ParleyError]) -> list[type[ParleyError]]:
    return [root, *(found for child in root.__subclasses__() for found in _tree(child))]


BY_CODE: dict[str, type[ParleyError]] = {cls.code: cls for cls in _tree(ParleyError)}
"""Error classes by machine code, for refusals that the database raises."""
