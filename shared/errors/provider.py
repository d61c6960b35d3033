"""Errors of a provider or a client node, and what each means for the next call."""

from __future__ import annotations

from shared.errors.root import ParleyError


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

    @property
    def is_invalid_request(self) -> bool:
        """Whether the request itself is invalid. Without a status our own code for the provider rejected it."""
        return self.upstream_status in {None, 400, 413, 422}


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
