"""Turns of a model with tools: what the model answers, and what the turn then gives and books."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from functions.chat.agent_run import AgentRun
from functions.chat.request import ChatRequest
from functions.chat.tools.contract import ToolAnswer
from shared.events import ToolResult
from shared.run_turn import TurnEvent, run_turn
from tests.fakes.openai import chunk, sse
from tests.fakes.supabase import Project
from tests.functions.turns import ROUTE, turn_for

EXTEND = "/rest/v1/rpc/chat_extend"
ABLE = replace(ROUTE, capabilities={"supports_tools": True, "supports_json": True})
ASKED = ChatRequest(message="Hi", agent="general")


class Adding(BaseModel):
    """Adds numbers."""

    model_config = ConfigDict(extra="forbid")

    numbers: list[int] = Field(max_length=3)


async def add(asked: Adding) -> ToolAnswer:
    """The sum of the numbers."""
    return ToolAnswer({"sum": sum(asked.numbers)})


def calls_answer(*calls: tuple[str, Any], text: str = "", tokens: tuple[int, int] = (10, 5)) -> tuple[int, list[bytes]]:
    """An answer that calls tools, each by name and arguments, written or as a value."""
    pieces = [
        {"id": f"call-{name}-{place}", "index": place, "function": {"name": name, "arguments": _written(arguments)}}
        for place, (name, arguments) in enumerate(calls)
    ]
    usage = {"choices": [], "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}}
    return 200, [sse(chunk({"content": text, "tool_calls": pieces}), chunk({}, "tool_calls"), usage, "[DONE]")]


def _written(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def add_call(*numbers: int) -> tuple[str, Any]:
    """A call of the tool that adds these numbers."""
    return "analyze_data", {"numbers": list(numbers)}


async def events_of(asked: ChatRequest = ASKED, **changes: Any) -> list[TurnEvent]:
    """The events of a turn of this request, admitted with its agent."""
    run = AgentRun(turn_for(asked, **{"routes": (ABLE,)} | changes), asked, time.monotonic())
    return [event async for event in run_turn(run)]


def results_of(events: list[TurnEvent]) -> list[Any]:
    """The contents of the tools' results."""
    return [dict(event.content) for event in events if isinstance(event, ToolResult)]


def booked_entry(project: Project) -> dict[str, Any]:
    """The entry of the one call of `chat_finish`."""
    (arguments,) = project.asked_of("chat_finish")
    entry: dict[str, Any] = arguments["entry"]
    return entry
