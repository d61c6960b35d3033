"""A scripted model server that speaks OpenAI's chat completions; the model's name says what it answers.

`bench-first50-tokens64-every5` sends its first token after 50 ms and 64 tokens in all, one every 5 ms. With `first0`
and `every0` all tokens are one write. Each token contains one `~`, so a client counts tokens without parsing.

    python -m bench.upstream 9000
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import httptools
import uvloop

MARK = b"~"
_TOKEN = "~token "  # noqa: S105 - the text of a token
_NAME = re.compile(r"bench-first(\d+)-tokens(\d+)-every(\d+)")
_PROMPT_TOKENS = 12


@dataclass(frozen=True, slots=True)
class Script:
    """What a model does; times are in milliseconds."""

    first_ms: int
    tokens: int
    every_ms: int

    @property
    def model(self) -> str:
        """The name of the model that follows this script."""
        return f"bench-first{self.first_ms}-tokens{self.tokens}-every{self.every_ms}"

    @property
    def usage(self) -> dict[str, int]:
        """The usage that the answer reports."""
        total = _PROMPT_TOKENS + self.tokens
        return {"prompt_tokens": _PROMPT_TOKENS, "completion_tokens": self.tokens, "total_tokens": total}


def script_of(model: str) -> Script:
    """The script of a model. Raises ValueError for any other name."""
    found = _NAME.fullmatch(model)
    if found is None:
        raise ValueError(f"{model!r} is not the name of a script")
    first_ms, tokens, every_ms = map(int, found.groups())
    return Script(first_ms, tokens, every_ms)


@dataclass(frozen=True, slots=True)
class Frames:
    """The bytes of a streamed response: its head, one token, and its end."""

    head: bytes
    token: bytes
    end: bytes


@lru_cache
def frames_of(script: Script, *, has_usage: bool) -> Frames:
    """A chunked HTTP response with server-sent events."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    end = _event(script, {}, "stop")
    if has_usage:
        end += _data(script, {"choices": [], "usage": script.usage})
    end += b"data: [DONE]\n\n"
    return Frames(
        head + _chunk(_event(script, {"role": "assistant", "content": ""})),
        _chunk(_event(script, {"content": _TOKEN})),
        _chunk(end) + b"0\r\n\r\n",
    )


@lru_cache
def whole_answer(script: Script) -> bytes:
    """A whole HTTP response with a JSON body."""
    message = {"role": "assistant", "content": _TOKEN * script.tokens}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "bench", "object": "chat.completion", "created": 1, "model": script.model}
    return response(200, head | {"choices": [choice], "usage": script.usage})


def response(status: int, body: dict[str, Any]) -> bytes:
    """An HTTP response with a JSON body."""
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} Bench\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


def _event(script: Script, delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    return _data(script, {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


def _data(script: Script, fields: dict[str, Any]) -> bytes:
    head = {"id": "bench", "object": "chat.completion.chunk", "created": 1, "model": script.model}
    return b"data: " + json.dumps(head | fields, separators=(",", ":")).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class _Connection(asyncio.Protocol):
    """One client; it sends its next request after the end of the last response."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._transport = None
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        try:
            request = json.loads(self._body or b"{}")
            script = script_of(request.get("model", "").rpartition("/")[2])
        except ValueError as error:
            self._write(response(400, {"error": {"message": str(error)}}))
            return
        if not request.get("stream"):
            self._write(whole_answer(script))
            return
        has_usage = bool((request.get("stream_options") or {}).get("include_usage"))
        self._stream(script, frames_of(script, has_usage=has_usage))

    def _stream(self, script: Script, frames: Frames) -> None:
        if script.first_ms == script.every_ms == 0:
            self._write(frames.head + frames.token * script.tokens + frames.end)
            return
        begin = self._loop.time() + script.first_ms / 1000

        def send(number: int) -> None:
            last = number == script.tokens - 1
            self._write((frames.head if number == 0 else b"") + frames.token + (frames.end if last else b""))
            if not last:  # by its own schedule: a late token does not delay the next ones
                self._timer = self._loop.call_at(begin + (number + 1) * script.every_ms / 1000, send, number + 1)

        self._timer = self._loop.call_at(begin, send, 0)

    def _write(self, data: bytes) -> None:
        if self._transport:
            self._transport.write(data)


async def open_server(port: int = 0) -> asyncio.Server:
    """A running server on loopback; port 0 takes a free one."""
    return await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port, backlog=2048)


async def _serve(port: int) -> None:
    server = await open_server(port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
