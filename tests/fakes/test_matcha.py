"""The scripted MatchAI."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.fakes.clients import (
    ask_matcha,
)
from tests.fakes.providers import Upstream, matcha_id

pytestmark = pytest.mark.anyio


async def test_a_disconnect_is_noticed_without_a_stream(upstream: Upstream) -> None:
    """MatchAI streams nothing; a disconnect is noticed as well."""
    model = "stall~matcha"
    body = {"mission_id": 1, "llm_id": matcha_id(model), "input": "x"}
    async with httpx.AsyncClient(headers={"MATCHA-API-KEY": "k"}) as client:
        task = asyncio.create_task(client.post(f"{upstream.url('matcha')}/completions", json=body))
        assert await asyncio.to_thread(upstream.until_called, model)
        task.cancel()
        assert await asyncio.to_thread(upstream.until_hung_up, model)


def test_matcha_sends_one_response(upstream: Upstream) -> None:
    """One text, no usage; a wrong body is 400, a page is HTML, half an answer breaks the connection."""
    answer = ask_matcha(upstream, "echo").json()
    assert answer["output"][0]["content"] == [{"type": "output_text", "text": "hi there "}]
    assert ask_matcha(upstream, "echo", mission_id="1").status_code == 400
    assert ask_matcha(upstream, "once-status-503~m").status_code == 503
    assert ask_matcha(upstream, "once-status-503~m").status_code == 200
    assert ask_matcha(upstream, "html").headers["content-type"].startswith("text/html")
    assert ask_matcha(upstream, "html-502").status_code == 502
    with pytest.raises(httpx.RemoteProtocolError):
        ask_matcha(upstream, "cut")
    assert httpx.get(f"{upstream.url('matcha')}/llms", headers={"MATCHA-API-KEY": "k"}).status_code == 404
