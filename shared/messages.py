"""The values of a model request: messages, tools, output formats, and the request itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Role = Literal["system", "user", "assistant", "tool"]


ANY_OBJECT: Final = {"type": "object"}
"""The output schema for a JSON object without a given schema."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of a model; `arguments` is the JSON object, `written` its text when the provider sent text.

    If the text is not a JSON object, `broken` has it and `arguments` is empty.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    broken: str | None = None
    written: str | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        """The arguments as JSON text, as the model wrote them when that is known."""
        return json.dumps(dict(self.arguments), ensure_ascii=False) if self.written is None else self.written


CALLER: Final = "caller"


@dataclass(frozen=True, slots=True)
class ProviderPayload:
    """An assistant's message in its provider's own form, with fields that only that provider understands.

    Thought signatures and thinking blocks must be sent back unchanged with a tool's result. Other providers ignore it.
    A payload of the provider CALLER came from a client, which does not know what provider it goes to.
    """

    provider: str
    content: Any


@dataclass(frozen=True, slots=True)
class Image:
    """An image: `data` is base64, `detail` is the resolution for providers that support one."""

    media_type: str
    data: str
    detail: Literal["auto", "low", "high"] = "auto"


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF: `data` is base64, `name` is its file's name, and `pages` bounds its tokens."""

    data: str
    name: str
    pages: int
    media_type: str = "application/pdf"


Part = str | Image | Document


@dataclass(frozen=True, slots=True)
class Message:
    """One message for a model. Only an assistant's has `tool_calls` and `native`; a tool's, `tool_call_id`, `is_error`.

    A message with images or documents has `parts`, these and its texts in order. `content` is all of its text.
    `cached_parts` are the places of the parts up to which Claude caches the prompt.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    native: ProviderPayload | None = None
    tool_call_id: str | None = None
    is_error: bool = False
    parts: tuple[Part, ...] = ()
    cached_parts: tuple[int, ...] = ()

    @property
    def images(self) -> tuple[Image, ...]:
        """The images among its parts."""
        return tuple(part for part in self.parts if isinstance(part, Image))

    @property
    def documents(self) -> tuple[Document, ...]:
        """The PDFs among its parts."""
        return tuple(part for part in self.parts if isinstance(part, Document))

    @property
    def has_files(self) -> bool:
        """Whether a part is more than text."""
        return any(not isinstance(part, str) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a model may call; `parameters` is the JSON Schema of its arguments, an object.

    `is_strict` says whether the arguments must fit it exactly; None when the client did not set it.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    is_strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """Further fields of an output schema; with `is_strict` None it is strict where the schema allows that."""

    name: str = "answer"
    description: str | None = None
    is_strict: bool | None = None


PLAIN_FORMAT: Final = Format()


@dataclass(frozen=True, slots=True)
class Node:
    """A client node to call: its address, and whether its owner stored a key for it."""

    id: int
    base_url: str
    has_key: bool = False


def _ignore_bytes() -> None:
    """For a request without a time limit."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One provider-neutral model request; `model` is the provider's own name, `node` is set for a client node only.

    `output_schema` is the JSON Schema that the answer's text must fit, an object, or ANY_OBJECT; None for free text.
    Tools that may not be called are still sent, because earlier messages may contain calls of them. `must_call` is the
    name of the tool to call, or True for any tool. The answer ends before any text of `stop`. `parameters` are those
    that the model takes, by OpenAI's names, without the temperature. `uses_responses` is whether OpenAI's responses are
    called, not its chat completions. The provider calls `on_bytes` whenever something
    of the response arrives.
    """

    model: str
    messages: tuple[Message, ...]
    max_output_tokens: int
    temperature: float | None = None
    tools: tuple[Tool, ...] = ()
    may_call_tools: bool = True
    output_schema: Mapping[str, Any] | None = None
    node: Node | None = None
    must_call: str | bool = False
    may_call_in_parallel: bool = True
    stop: tuple[str, ...] = ()
    output_format: Format = PLAIN_FORMAT
    parameters: Mapping[str, Any] = field(default_factory=dict)
    uses_responses: bool = False
    on_bytes: Callable[[], None] = field(default=_ignore_bytes, compare=False, repr=False)
