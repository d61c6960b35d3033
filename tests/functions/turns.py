"""Turns for tests: admitted ones, and their results."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from functions.chat.protocols.stateless import StatelessRequest
from functions.chat.request import ChatRequest
from shared.events import Usage
from shared.messages import Message
from shared.model_request import Options
from shared.routes import Route
from shared.sse import SseDecoder
from shared.turns import Limits, Receipt, Turn, TurnResult

ROUTE = Route("openai:gpt-4o", "openai", "gpt-4o", 1000, pricing={"input": 1, "output": 2})
LIMITS = Limits(50, 49, "2026-11-22T00:00:00+00:00", 0.5)
TURN = Turn("turn-1", "request-1", "worker-1", "conversation-1", (ROUTE,), "asked", limits=LIMITS)
ENTRY = TurnResult(
    TURN, "completed", ROUTE, "Hello", Usage(10, 5), 900, 100, "stop", agent_type="general", agents=("general",)
)
RECEIPT = Receipt(ENTRY, 0.002, logged=True, message_id="message-1")
ASKED = ChatRequest(message="Hi")
STATELESS = StatelessRequest("chat.completions", "openai:gpt-4o", (Message("user", "Hi"),), "Hi", Options())


def frames(raw: bytes) -> list[Any]:
    """The values of a stream's events; [DONE] stays text."""
    return [data if data == "[DONE]" else json.loads(data) for data in SseDecoder().feed(raw)]


def turn(**changes: Any) -> Turn:
    """A turn like TURN."""
    return replace(TURN, **changes)


def turn_for(asked: ChatRequest, **changes: Any) -> Turn:
    """A turn like TURN, with the agent that the ledger chooses for this request of a user without a profile."""
    fields = {"agent": asked.likely_agent, "is_agent_guessed": asked.agent in {None, "auto"}}
    return turn(**fields | changes)
