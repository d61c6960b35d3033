"""Runs of an agent between a scripted model and a scripted ledger."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from functions.chat.agent_run import AgentRun
from functions.chat.request import ChatRequest
from shared import fallback
from shared.run_turn import TurnEvent, run_turn
from tests.fakes.openai import OpenAiHost, serving_models
from tests.fakes.supabase import Project
from tests.functions.turns import ASKED, turn_for

FINISH = "/rest/v1/rpc/chat_finish"


@pytest.fixture
async def model(
    project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OpenAiHost]:
    """A model server beside the project; the project books whatever it is given."""
    project.answers[FINISH] = (200, {"outcome": "settled", "cost_usd": 0.002, "message_id": "message-1"})
    monkeypatch.setattr(fallback, "BACKOFF_SECONDS", 0.0)
    async with serving_models() as running:
        environ(OPENAI_BASE_URL=running.url, OPENAI_API_KEY="sk-ours")
        yield running


async def events_of(asked: ChatRequest = ASKED, **changes: Any) -> list[TurnEvent]:
    """The events of a turn."""
    return [event async for event in run_turn(AgentRun(turn_for(asked, **changes), asked, time.monotonic()))]


def booked_in(project: Project) -> dict[str, Any]:
    """The entry of the only booking."""
    (arguments,) = project.asked_of("chat_finish")
    entry: dict[str, Any] = arguments["entry"]
    return entry
