"""Requests to the scripted model server, and what is in its responses."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx
from google.genai import types

from tests.fakes.providers import Upstream, matcha_id


async def ask_claude(client: anthropic.AsyncAnthropic, model: str, **arguments: Any) -> list[Any]:
    """The raw events of an answer."""
    body: dict[str, Any] = {"max_tokens": 100, "messages": [{"role": "user", "content": "hi there"}]}
    stream = await client.messages.create(model=model, stream=True, **(body | arguments))
    return [event async for event in stream]


def claude_text(events: list[Any]) -> str:
    """The text of Claude's events."""
    found = [event.delta for event in events if event.type == "content_block_delta"]
    return "".join(delta.text for delta in found if delta.type == "text_delta")


async def ask_gemini(client: Any, model: str, contents: Any = "hi there", **config: Any) -> list[Any]:
    """The chunks of an answer."""
    stream = await client.models.generate_content_stream(
        model=model, contents=contents, config=types.GenerateContentConfig(**config) if config else None
    )
    return [chunk async for chunk in stream]


def gemini_parts(received: list[Any]) -> list[Any]:
    """The parts of Gemini's chunks."""
    found = [chunk.candidates[0].content for chunk in received if chunk.candidates and chunk.candidates[0].content]
    return [part for content in found for part in content.parts or ()]


def gemini_text(received: list[Any]) -> str:
    """The text of Gemini's chunks, without thoughts."""
    return "".join(part.text or "" for part in gemini_parts(received) if not part.thought)


def post(upstream: Upstream, dialect: str, model: str, key: str = "k", **fields: Any) -> httpx.Response:
    """The response to a chat completion."""
    body = {"model": model, "stream": True, "stream_options": {"include_usage": True}}
    body["messages"] = [{"role": "user", "content": "hi there"}]
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.post(f"{upstream.url(dialect)}/chat/completions", json=body | fields, headers=headers)


def chunks(response: httpx.Response) -> list[dict[str, Any]]:
    """The JSON chunks of a chat completion."""
    data = [line.removeprefix(b"data: ") for line in response.content.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(each) for each in data if each != b"[DONE]"]


def deltas(response: httpx.Response) -> list[dict[str, Any]]:
    """The deltas of a chat completion."""
    return [chunk["choices"][0]["delta"] for chunk in chunks(response) if chunk.get("choices")]


def text_of(response: httpx.Response) -> str:
    """The text of a chat completion."""
    return "".join(delta.get("content") or "" for delta in deltas(response))


def ask_matcha(upstream: Upstream, kind: str, key: str = "k", **fields: Any) -> httpx.Response:
    """MatchAI's response."""
    body = {"mission_id": 1, "llm_id": matcha_id(kind), "input": "Be brief.\n\nhi there"}
    headers = {"MATCHA-API-KEY": key} if key else {}
    return httpx.post(f"{upstream.url('matcha')}/completions", json=body | fields, headers=headers)
