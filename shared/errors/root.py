"""ParleyError, the root of the tree, and the words that a protocol has for an error."""

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
