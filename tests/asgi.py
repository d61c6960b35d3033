"""Calls an ASGI handler message by message, without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass
class Caller:
    """The client of a request: what it has received so far, and whether it is still connected."""

    chunks: list[bytes] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    taken: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    on_send: Callable[[Message], None] = lambda _: None

    async def receive(self) -> Message:
        """The request's body piece by piece, then nothing until they hang up."""
        if self.taken < len(self.chunks):
            self.taken += 1
            more = self.taken < len(self.chunks)
            return {"type": "http.request", "body": self.chunks[self.taken - 1], "more_body": more}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Takes a piece of the answer; others run before it has arrived, as they do while a socket is written to."""
        self.on_send(message)
        await asyncio.sleep(0)
        self.sent.append(message)

    @property
    def status(self) -> int:
        """The answer's status; 0 when there was none."""
        return next((int(m["status"]) for m in self.sent if m["type"] == "http.response.start"), 0)

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers, by lowercase name."""
        raw: Iterable[tuple[bytes, bytes]] = next(
            (m["headers"] for m in self.sent if m["type"] == "http.response.start"), []
        )
        return {name.decode().lower(): value.decode() for name, value in raw}

    @property
    def body(self) -> bytes:
        """Everything that came."""
        return b"".join(m["body"] for m in self.sent if m["type"] == "http.response.body")

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def is_complete(self) -> bool:
        """Whether the answer came to its proper end."""
        return bool(self.sent) and not self.sent[-1].get("more_body", False)


def request_of(
    caller: Caller, method: str = "GET", path: str = "/", headers: Headers | None = None, query: str = ""
) -> Request:
    """The request as a handler gets it."""
    sent = headers.items() if isinstance(headers, Mapping) else headers or ()
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent],
    }
    return Request(scope, caller.receive, caller.send)


async def call(
    handler: Callable[[Request], Awaitable[Response]],
    method: str = "GET",
    path: str = "/",
    headers: Headers | None = None,
    chunks: Iterable[bytes] = (b"",),
) -> Caller:
    """The caller, after the whole answer was sent."""
    caller = Caller(chunks=list(chunks))
    request = request_of(caller, method, path, headers)
    response = await handler(request)
    await response(request.scope, caller.receive, caller.send)
    return caller
