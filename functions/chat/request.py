"""The body of a turn's request."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator
from starlette.requests import Request

from functions.chat.agents import AGENTS
from functions.chat.domains import Domain, classified
from functions.chat.file_parts import files_in, is_file
from shared.body import MAX_BODY_BYTES, MAX_BYTES_WITH_FILES, body_too_large, parse_body, read_body
from shared.parameters import Wishes

_MAX_METADATA_BYTES = 16 * 1024
MAX_TOKENS = (
    "The maximum of output tokens, at most the model's own; the default is 4,096. It also bounds the reservation. "
    "An answer that reaches it has the finish reason for length."
)

PLACE = "Where a new conversation begins in another interface; a conversation that exists keeps its own."

RESUMABLE = (
    "The turn goes on when the client hangs up. `GET /{id}/stream` reads it from its start, and `POST /{id}/stop` ends "
    "it. Needs a stored turn."
)

Name = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Place = Annotated[str, StringConstraints(min_length=1, max_length=200)]
CanonicalUuid = Annotated[
    str, StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
]


class UiMessage(BaseModel):
    """A message as the AI SDK sends it: text and file parts are read. `id` is the frontend's own or Parley's."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str | None = None
    role: Literal["system", "user", "assistant"]
    parts: list[dict[str, Any]] = Field(default_factory=list, max_length=1000, fail_fast=True)

    @field_validator("parts")
    @classmethod
    def _has_text_in_text_parts(cls, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not all(isinstance(part.get("text"), str) for part in parts if part.get("type") == "text"):
            raise ValueError("the text of a text part is a string")
        return parts

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "\n".join(part["text"] for part in self.parts if part.get("type") == "text")


class ChatRequest(BaseModel):
    """One turn: either `message`, or the AI SDK's `messages`, whose last user message is the question.

    Unknown fields, which frontends send, are ignored and named in `X-Ignored-Params`.
    With `trigger: regenerate-message`, `messageId` names the answer or question to regenerate. Without the trigger it
    names the question that this one edits. With an unknown id the request is an ordinary turn.
    """

    model_config = ConfigDict(extra="allow", strict=True, json_schema_extra={"additionalProperties": True})

    message: str | None = None
    messages: list[UiMessage] | None = Field(default=None, max_length=2000, fail_fast=True)
    conversation_id: CanonicalUuid | None = None
    id: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    channel_id: Place | None = Field(default=None, description=PLACE)
    thread_ts: Place | None = Field(default=None, description=PLACE)
    trigger: Literal["submit-message", "regenerate-message"] | None = None
    messageId: str | int | None = None  # noqa: N815 - the AI SDK's own name
    model: Name | None = None
    agent: Literal["auto", "general", "technical", "research"] | None = None
    stream: bool = True
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000, description=MAX_TOKENS)
    temperature: float | None = Field(default=None, ge=0, le=2)
    store: bool = True
    metadata: dict[str, Any] | None = None
    strict_model: bool = False
    dry_run: bool = False
    resumable: bool = Field(default=False, description=RESUMABLE)

    @field_validator("messages")
    @classmethod
    def _has_files_that_can_be_read(cls, messages: list[UiMessage] | None) -> list[UiMessage] | None:
        last = next((place for place, m in reversed([*enumerate(messages or ())]) if m.role == "user"), None)
        if messages and last is not None:
            files_in(messages[last].parts, str(last))
        return messages

    @field_validator("metadata")
    @classmethod
    def _is_short(cls, metadata: dict[str, Any] | None) -> dict[str, Any] | None:
        return within_bounds(metadata)

    @model_validator(mode="after")
    def _is_one_question(self) -> Self:
        if (self.message is None) == (self.messages is None):
            raise ValueError("send either message or messages")
        if not (self.question.strip() or self.files):
            raise ValueError("the message is empty")
        if self.resumable and not self.store:
            raise ValueError("a resumable turn is stored: leave out store or resumable")
        return self

    @property
    def wishes(self) -> Wishes:
        """What may have no effect: unknown fields and the temperature."""
        return Wishes(unknown_fields(self), {} if self.temperature is None else {"temperature": self.temperature})

    @property
    def question(self) -> str:
        """The text of the user's question."""
        if self.message is not None:
            return self.message
        return self._asked.text if self._asked else ""

    @cached_property
    def files(self) -> tuple[dict[str, Any], ...]:
        """The files of the question, as the ledger takes them."""
        return files_in(self._asked.parts) if self._asked else ()

    @property
    def question_id(self) -> str | None:
        """The client's id of the question."""
        return self._asked.id if self._asked else None

    @property
    def file_characters(self) -> int:
        """The length of all files of all messages, as the body has them."""
        return sum(len(str(part.get("url", ""))) for m in self.messages or () for part in m.parts if is_file(part))

    @property
    def _asked(self) -> UiMessage | None:
        return next((m for m in reversed(self.messages or []) if m.role == "user"), None)

    @cached_property
    def domain(self) -> Domain:
        """The domain of the question by the rules."""
        return classified(self.question)

    @property
    def likely_agent(self) -> str:
        """The agent that takes the turn, before the profile of the user is known."""
        return self.agent if self.agent in AGENTS else self.domain.name


def unknown_fields(body: BaseModel) -> tuple[str, ...]:
    """The names of the body's fields that its model does not have, but for those that are null or empty."""
    return tuple(name for name, value in (body.model_extra or {}).items() if value not in (None, [], {}))


def within_bounds(metadata: dict[str, Any] | None) -> dict[str, Any] | None:
    """The metadata. Raises ValueError when it is too long for a log row."""
    if metadata and len(json.dumps(metadata)) > _MAX_METADATA_BYTES:
        raise ValueError(f"metadata may have at most {_MAX_METADATA_BYTES} bytes")
    return metadata


async def read_chat_request(request: Request) -> ChatRequest:
    """The validated body. Raises InvalidRequest, BodyTooLarge, Unprocessable, …

    `request.state.body` keeps its bytes, which an Idempotency-Key is bound to.
    """
    body = request.state.body = await read_body(request, MAX_BYTES_WITH_FILES)
    if len(body) > MAX_BODY_BYTES and b'"file"' not in body:
        raise body_too_large(MAX_BODY_BYTES)
    asked = parse_body(body, ChatRequest)
    if len(body) - asked.file_characters > MAX_BODY_BYTES:
        raise body_too_large(MAX_BODY_BYTES)
    return asked
