"""What every borrowed protocol asks for: one answer to a conversation that the client keeps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from shared.auth import Person
from shared.errors import ParleyError
from shared.messages import Message
from shared.model_request import Options
from shared.parameters import NO_WISHES, Wishes
from shared.responses import JsonEncoder, StreamEncoder
from shared.turns import Turn

Words = Callable[[ParleyError], ParleyError]
"""The same error in the words of a protocol; its class, and so the code in the log row, is unchanged."""


@dataclass(frozen=True, slots=True)
class StatelessRequest:
    """A validated request of a borrowed protocol.

    `endpoint` is that of the log row, which has the text of `question` and the answer only with `log_words`.
    Response: `wants_usage` is whether a stream ends with its usage, `wants_signatures` whether reasoning comes with its
    provider's own data, and `echo` has fields that the response repeats.
    Storage: with `is_stored` the question and the answer are added to the conversation `conversation_id`, None for a
    new one that begins in `channel`. Its history precedes the client's conversation, without its last answer if the
    client's conversation has that answer with its calls (`replaces_last`).
    """

    endpoint: str
    model: str
    conversation: tuple[Message, ...]
    question: str
    options: Options
    max_tokens: int | None = None
    is_streamed: bool = False
    wishes: Wishes = NO_WISHES
    log_words: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)
    wants_usage: bool = False
    wants_signatures: bool = False
    echo: Mapping[str, Any] = field(default_factory=dict)
    is_stored: bool = False
    conversation_id: str | None = None
    channel: str | None = None
    replaces_last: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """The abilities that the request needs, by their names in the catalogue."""
        wanted = {
            "supports_tools": bool(self.options.tools),
            "supports_vision": any(message.images for message in self.conversation),
            "supports_files": any(message.documents for message in self.conversation),
            "supports_json": self.options.output_schema is not None,
        }
        return tuple(ability for ability, is_needed in wanted.items() if is_needed)


@dataclass(frozen=True, slots=True)
class BorrowedProtocol:
    """An API of another company: how it reads a request, encodes an answer and words an error.

    `read` raises what `shared.body` raises.
    """

    read: Callable[[Request, Person], Awaitable[StatelessRequest]]
    stream_encoder: Callable[[Turn, StatelessRequest], StreamEncoder]
    json_encoder: Callable[[Turn, StatelessRequest], JsonEncoder]
    reworded: Words


@contextmanager
def in_words_of(reworded: Words) -> Iterator[None]:
    """Raises the errors of its body in these words."""
    try:
        yield
    except ParleyError as error:
        reworded(error)
        raise
