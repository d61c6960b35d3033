"""A scripted model server on loopback: speaks OpenAI's wire format, behaves as the model's name says, remembers calls.

echo (answers with the last message) · endless · cut (connection torn after two words) · early (a clean end without a
stop reason) · silent (headers, then nothing) · status-<code> · html · malformed · announced (an error inside a 200) ·
greedy (claims a billion tokens).
"""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Upstream:
    """The running server; `calls` are the request bodies, `hung_up` counts answers whose reader went away."""

    url: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    hung_up: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    started: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


_UPSTREAM = web.AppKey("upstream", Upstream)


def serve(upstream: Upstream, ready: threading.Event, stop: threading.Event) -> None:
    """Runs in a thread of its own until `stop`."""
    asyncio.run(_serve(upstream, ready, stop))


async def _serve(upstream: Upstream, ready: threading.Event, stop: threading.Event) -> None:
    app = web.Application()
    app[_UPSTREAM] = upstream
    app.router.add_post("/v1/chat/completions", _complete)
    app.router.add_get("/v1/models", _models)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    ready.set()
    await asyncio.to_thread(stop.wait)
    await runner.cleanup()


async def _models(request: web.Request) -> web.Response:
    names = request.headers.get("x-models", "echo,endless").split(",")
    return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})


async def _complete(request: web.Request) -> web.StreamResponse:
    upstream: Upstream = request.app[_UPSTREAM]
    body = await request.json()
    upstream.calls.append(body)
    upstream.headers.append(dict(request.headers))
    kind = body["model"]
    if kind.startswith("status-"):
        return web.json_response({"error": {"message": "secret upstream words"}}, status=int(kind[7:]))
    if kind == "html":
        return web.Response(text="<html>hello</html>", content_type="text/html")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    try:
        await _stream(kind, body["messages"][-1]["content"], response, upstream)
    except (asyncio.CancelledError, ConnectionError):
        upstream.hung_up.release()
        raise
    return response


async def _stream(kind: str, question: str, response: web.StreamResponse, upstream: Upstream) -> None:
    if kind == "silent":
        upstream.started.release()
        await asyncio.Event().wait()
    words = [f"{word} " for word in question.split()] or ["nothing "]
    if kind == "endless":
        while True:
            await _send(response, _chunk({"content": "on "}))
            upstream.started.release()
            await asyncio.sleep(0.02)
    for word in words[:2] if kind in {"cut", "malformed", "announced"} else words:
        await _send(response, _chunk({"content": word}))
    if kind == "cut":
        assert response._req is not None  # noqa: SLF001 - a torn connection has no public way
        assert response._req.transport is not None  # noqa: SLF001
        response._req.transport.abort()  # noqa: SLF001
        return
    if kind == "malformed":
        await response.write(b"data: {not json\n\n")
    if kind == "announced":
        await _send(response, {"error": {"message": "overloaded"}})
    if kind != "early":
        await _send(response, _chunk({}, "stop"))
        claimed = 10**9 if kind == "greedy" else 60
        usage = {
            "prompt_tokens": claimed,
            "completion_tokens": claimed if kind == "greedy" else len(words),
            "prompt_tokens_details": {"cached_tokens": 20},
        }
        await _send(response, {"choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
    await response.write_eof()


async def _send(response: web.StreamResponse, value: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(value).encode() + b"\n\n")


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
