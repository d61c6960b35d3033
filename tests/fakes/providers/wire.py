"""Shared by the protocols: a neutral form of a request, a script to render, and the encoding of JSON and events."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from aiohttp import web

Json = dict[str, Any]
ToolUse = tuple[str, Json | str]
Ending = Literal[
    "stop", "length", "filtered", "blocked", "torn", "early", "silent", "broken", "overloaded", "endless", "flood"
]
THOUGHT: Final = "Let me think."
OVERLOADED: Final = "The model is overloaded: secret upstream words."


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as every dialect means it; `tool_results` are those that the last message brings.

    `schema` is what holds the schema of the answer where OpenAI's dialect asks for one.
    """

    model: str
    text: str
    tool_results: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    wants_schema: bool = False
    schema: Any = None
    has_answered: bool = False
    is_streaming: bool = True


@dataclass(frozen=True, slots=True)
class Tokens:
    """Inclusive counts: cached within input, reasoning within output. What a kind claims wrongly need be no count."""

    input: int | None = 60
    cached: int | None = 20
    output: int | None = 12
    reasoning: int | None = 4


@dataclass(frozen=True, slots=True)
class Script:
    """What an answer says, and how it ends. `is_held` waits for `Upstream.release` before the first content.

    A stream pauses for `pause_seconds` after each piece.
    """

    pieces: tuple[str, ...] = ()
    ending: Ending = "stop"
    reasoning: str = ""
    calls: tuple[ToolUse, ...] = ()  # arguments as text are written as they are, where JSON is text
    tokens: Tokens | None = field(default_factory=Tokens)
    is_held: bool = False
    is_counting_along: bool = False
    pause_seconds: float = 0

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error response in the dialect's own form; `retry_after_seconds` as it is on the wire."""

    status: int
    reason: Literal["status", "key", "credit", "request"] = "status"
    message: str = "secret upstream words"
    retry_after_seconds: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The delay as the header that all but Google send."""
        return {"Retry-After": self.retry_after_seconds} if self.retry_after_seconds else {}


@dataclass(frozen=True, slots=True)
class Page:
    """An HTML page where JSON should be."""

    status: int


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole JSON answer."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """As aiohttp sends it."""
        body = as_json(self.body)
        return web.Response(body=body, status=self.status, headers=self.headers, content_type="application/json")


class Answer(ABC):
    """One script in one dialect: the frames to send, asked for in the order of the methods; or the answer whole."""

    @abstractmethod
    def whole(self) -> Json:
        """The answer in one piece."""

    def opening(self) -> Iterable[bytes]:
        """What comes before any content."""
        return ()

    def thought(self, text: str) -> Iterable[bytes]:  # noqa: ARG002 - not every dialect streams
        """Reasoning."""
        return ()

    def text_frames(self, piece: str) -> Iterable[bytes]:  # noqa: ARG002 - not every dialect streams
        """A piece of text."""
        return ()

    def called(self, calls: Iterable[ToolUse]) -> Iterable[bytes]:  # noqa: ARG002 - not every dialect streams
        """Tool calls, names with arguments."""
        return ()

    def broken(self) -> Iterable[bytes]:
        """An event that is no JSON."""
        return ()

    def overloaded(self) -> Iterable[bytes]:
        """The error that is announced inside a stream."""
        return ()

    def closing(self) -> Iterable[bytes]:
        """Stop reason, usage, end mark."""
        return ()


class Dialect(Protocol):
    """One provider's API."""

    overload_status: int

    def key_of(self, request: web.Request) -> str | None:
        """The caller's key; None when this API demands none."""

    def read(self, request: web.Request, body: Json) -> Asked:
        """The request as a neutral value."""

    def fault_of(self, body: Json) -> str | None:
        """Why this API would not take the request."""

    def refuse(self, refusal: Refusal) -> Reply:
        """An error in this API's form."""

    def answer(self, asked: Asked, script: Script, body: Json) -> Answer:
        """An answer to be rendered."""


def as_json(value: Any) -> bytes:
    """JSON as model servers write it: characters as UTF-8, and escaped only what UTF-8 or JSON cannot hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def event(value: Any, name: str = "", line_end: bytes = b"\n") -> bytes:
    """One server-sent event; bytes are sent as they are."""
    data = value if isinstance(value, bytes) else as_json(value)
    head = b"event: " + name.encode() + line_end if name else b""
    return head + b"data: " + data + line_end * 2


def text_in(parts: Any, kind: str | None = "text") -> str:
    """The text of a content that is a string or a list of parts; `kind` is a text part's type, where parts have one."""
    if isinstance(parts, str):
        return parts
    return " ".join(
        str(part["text"]) for part in parts or () if "text" in part and (kind is None or part.get("type") == kind)
    )
