"""Bodies of chat completions for tests."""

from __future__ import annotations

from typing import Any

from functions.chat.protocols.completions.request import CompletionRequest

HI: dict[str, Any] = {"role": "user", "content": "Hi"}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "look"}}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}
CALLED: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "it"}]}


def completion(**fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "gpt-4o", "messages": [HI]} | fields)


def image_message(url: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, "detail": "low"}}]}


def call_of(call_id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "look", "arguments": arguments}}


def rounds_of(arguments: str, count: int) -> list[dict[str, Any]]:
    return [{"role": "assistant", "tool_calls": [call_of("c1", arguments)]}, RESULT] * count
