"""A scripted model server whose turns may use a tool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from functions.chat import tool_loop
from functions.chat.tools.contract import Tool
from tests.fakes.openai import OpenAiHost, serving_models
from tests.fakes.supabase import Project
from tests.functions.tool_turns import EXTEND, Adding, add


@pytest.fixture
async def model(
    project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OpenAiHost]:
    """A scripted model server beside a project with money; agents with data tools also have a tool that adds."""
    project.answers["/rest/v1/rpc/chat_finish"] = (200, {"outcome": "settled", "cost_usd": 0.002, "message_id": "m"})
    project.answers[EXTEND] = (200, {"outcome": "extended", "reserved_usd": 1})
    monkeypatch.setattr(tool_loop, "available_tools", lambda: (Tool("analyze_data", Adding, add),))
    async with serving_models() as running:
        environ(OPENAI_BASE_URL=running.url, OPENAI_API_KEY="sk-ours")
        yield running
