"""A model server on loopback that sends scripted bytes and records its requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it stood on the wire; header names are lowercase."""

    line: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


@dataclass
class OpenAiHost:
    """Answers with `status`, `headers` and `pieces`, then ends cleanly, cuts the line, or holds it until hung up on.

    `script` holds statuses and pieces for the first answers, one each.
    """

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    script: list[tuple[int, list[bytes]]] = field(default_factory=list)
    ending: Literal["clean", "cut", "hold"] = "clean"
    received: list[Received] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_hung_up(self) -> None:
        """Returns when a client has closed its connection; within seconds, or the test is red."""
        async with asyncio.timeout(10):
            await self.hung_up.wait()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        try:
            self.received.append(await _read(reader))
            status, pieces = self.script.pop(0) if self.script else (self.status, self.pieces)
            lines = [f"HTTP/1.1 {status} Scripted", "Transfer-Encoding: chunked", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in self.headers.items()]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
            for piece in pieces:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            if self.ending == "hold":
                await reader.read()
                self.hung_up.set()
            elif self.ending == "clean":
                writer.write(b"0\r\n\r\n")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (each.split(": ", 1) for each in rest)}
    return Received(line, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@asynccontextmanager
async def serving_models() -> AsyncIterator[OpenAiHost]:
    """The running server."""
    running = OpenAiHost()
    server = await asyncio.start_server(running.answer, "127.0.0.1", 0)
    running.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield running
    finally:
        server.close()


def sse(*values: Any) -> bytes:
    """Values as events, each JSON unless it is text already."""
    texts = (value if isinstance(value, str) else json.dumps(value) for value in values)
    return b"".join(b"data: " + text.encode() + b"\n\n" for text in texts)


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    """One chat completion chunk."""
    return {"object": "chat.completion.chunk", "choices": [{"delta": delta, "finish_reason": finish_reason}]}


def text_chunk(text: str, prompt_tokens: int = 10, completion_tokens: int = 5) -> bytes:
    """A whole answer of one piece, as a stream."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return sse(chunk({"content": text}), chunk({}, "stop"), {"choices": [], "usage": usage}, "[DONE]")
