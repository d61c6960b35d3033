"""The parts of the AI SDK's UIMessage for an answer with tools."""

from __future__ import annotations

from typing import Any

from shared.events import ToolResult
from shared.messages import ToolCall


def step_parts(text: str) -> list[dict[str, Any]]:
    """The parts that begin a step: its start, and its text when there is one."""
    return [{"type": "step-start"}, *([{"type": "text", "text": text}] if text else [])]


def call_part(call: ToolCall) -> dict[str, Any]:
    """The part of a tool call without a result yet."""
    return {
        "type": f"tool-{call.name}",
        "toolCallId": call.id,
        "state": "input-available",
        "input": dict(call.arguments),
    }


def result_part(result: ToolResult) -> dict[str, Any]:
    """The part of a tool call with its result."""
    if result.is_error:
        return call_part(result.call) | {"state": "output-error", "errorText": str(result.content["hint"])}
    return call_part(result.call) | {"state": "output-available", "output": dict(result.content)}
