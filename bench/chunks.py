"""CPU per streamed chunk: provider parser, gateway and UI stream, beside the raw SDK and a raw pass-through."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from functions.chat.streams.ui import UiStream
from local.environment import ROOT
from shared import http
from shared.gateway import ModelSession
from shared.messages import Message, ModelRequest
from shared.model_request import Options
from shared.providers import SDKS, load_sdks
from shared.routes import Route
from shared.turns import Turn

_WORDS = 2000
_ROUNDS = 5
_AIM_US = 60
_MODEL = {"google": "gemini", "anthropic": "claude", "openai": "gpt", "client": "llama"}

Answer = Callable[[], Awaitable[None]]


def measure() -> None:
    """Prints microseconds of this process's CPU per chunk; the model server runs in another process."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.providers"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None  # noqa: S101 - stdout is a pipe
        os.environ.update(json.loads(server.stdout.readline()))
        load_sdks(SDKS)
        asyncio.run(_print_all())
    finally:
        server.kill()
        server.wait()


async def _print_all() -> None:
    print(f"CPU per streamed chunk, median of {_ROUNDS} answers of {_WORDS} chunks, in microseconds")
    print("  provider        Parley   raw SDK   raw bytes   our layers")
    for name in _MODEL:
        ours = await _cost(lambda name=name: _parley(name))  # type: ignore[misc]
        sdk = await _cost(lambda name=name: _raw_sdk(name)) if name in SDKS else None  # type: ignore[misc]
        raw = await _cost(lambda name=name: _raw_bytes(name))  # type: ignore[misc]
        added = ours - (raw if sdk is None else sdk)
        shown = "        -" if sdk is None else f"{sdk:9.1f}"
        print(f"  {name:10s} {ours:11.1f} {shown} {raw:11.1f} {added:12.1f}   (aim: under {_AIM_US})")
    await http.close_sessions()


async def _cost(answer: Answer) -> float:
    times = []
    for _ in range(_ROUNDS + 1):
        started = time.process_time()
        await answer()
        times.append((time.process_time() - started) * 1e6 / _WORDS)
    return statistics.median(times[1:])  # the first round opens connections


def _route(name: str) -> Route:
    is_node = name == "client"
    return Route(
        identifier=f"{name}:{_MODEL[name]}",
        provider=name,
        upstream_id=_MODEL[name],
        max_output_tokens=4 * _WORDS,
        node_id=1 if is_node else None,
        base_url=os.environ["NODE_URL"] if is_node else None,
    )


def _question() -> Message:
    return Message("user", "word " * _WORDS)


async def _parley(name: str) -> None:
    route = _route(name)
    encoder = UiStream(Turn("t", "r", "w", None, (route,), "requested"))
    size = 0
    async with aclosing(ModelSession((route,), Options(), time.monotonic()).events((_question(),))) as events:
        async for event in events:
            size += len(encoder.encode(event))
    if size < _WORDS * len("word "):
        raise SystemExit(f"{name} did not answer")


async def _raw_sdk(name: str) -> None:
    """Reads the SDK's own stream to its end."""
    call = ModelRequest(_MODEL[name], (_question(),), 4 * _WORDS)
    if name == "google":
        from shared.providers import gemini, gemini_messages  # noqa: PLC0415 - load an SDK only to measure it

        answer = await gemini.open_stream(call, gemini_messages.contents_of(call))
        async for _ in answer:
            pass
    else:
        from shared.providers import anthropic  # noqa: PLC0415

        async with await anthropic.open_stream(call) as stream:
            async for _ in stream:
                pass


async def _raw_bytes(name: str) -> None:
    """Reads the same response with our HTTP client, without parsing it."""
    url, headers, body = _request(name)
    async with http.session().post(url, json=body, headers=headers) as response:
        while await response.content.readany():
            pass


def _request(name: str) -> tuple[str, dict[str, str], dict[str, object]]:
    text, model = _question().content, _MODEL[name]
    messages = [{"role": "user", "content": text}]
    if name == "google":
        url = f"{os.environ['GEMINI_BASE_URL']}/v1/models/{model}:streamGenerateContent?alt=sse"
        return url, {"x-goog-api-key": "k"}, {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    if name == "anthropic":
        url = f"{os.environ['ANTHROPIC_BASE_URL']}/v1/messages"
        body: dict[str, object] = {"model": model, "messages": messages, "max_tokens": 9999, "stream": True}
        return url, {"Authorization": "Bearer k", "anthropic-version": "2026-10-21"}, body
    url = os.environ["NODE_URL" if name == "client" else "OPENAI_BASE_URL"] + "/chat/completions"
    return url, {"Authorization": "Bearer k"}, {"model": model, "messages": messages, "stream": True}
