"""The behaviour that all protocols of the scripted model server share."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import anthropic
import httpx
import pytest

from tests.fakes.clients import (
    ask_claude,
    ask_gemini,
    ask_matcha,
    claude_text,
    gemini_text,
    post,
    text_of,
)
from tests.fakes.providers import HOSTILE, Upstream, matcha_id
from tests.fakes.providers.kinds import KINDS

pytestmark = pytest.mark.anyio
_ANSWER = "one two three"
_HOSTILE = "".join(HOSTILE)
_WITHOUT_END = {"silent", "stall", "stall-first", "endless", "flood", "slow", "cut", "cut-first"}
_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"query": {"type": "string"}}}


async def test_hostile_text_passes_the_sdks(claude: anthropic.AsyncAnthropic, gemini: Any) -> None:
    """Frames, line ends, a split emoji and NUL arrive as text; a lone surrogate may be replaced."""
    texts = [claude_text(await ask_claude(claude, "hostile")), gemini_text(await ask_gemini(gemini, "hostile"))]
    for text in texts:
        assert text.replace("�", "\ud800") == _HOSTILE


def test_keys_are_checked(upstream: Upstream) -> None:
    """A wrong key is rejected everywhere, a missing one everywhere but at a node."""
    statuses = [
        post(upstream, dialect, "echo", key).status_code
        for dialect in ("openai", "huggingface", "client")
        for key in ("bad", "")
    ]
    assert statuses == [401, 401, 401, 401, 401, 200]
    assert [ask_matcha(upstream, "echo", key).status_code for key in ("bad", "")] == [401, 401]


@pytest.mark.parametrize(("dialect", "kind"), [("client", "stall"), ("openai", "stall-first"), ("client", "endless")])
async def test_a_disconnect_is_noticed_at_once(upstream: Upstream, dialect: str, kind: str) -> None:
    """A disconnect during silence or an endless answer releases until_hung_up and the semaphore."""
    model = f"{kind}~hangs-up"
    task = asyncio.create_task(asyncio.to_thread(upstream.until_hung_up, model))
    async with httpx.AsyncClient(headers={"Authorization": "Bearer k"}) as client:
        body = {"model": model, "stream": True, "messages": []}
        async with client.stream("POST", f"{upstream.url(dialect)}/chat/completions", json=body) as response:
            assert response.status_code == 200
            assert await asyncio.to_thread(upstream.started.acquire, timeout=10)
    assert await task
    assert upstream.hung_up.acquire(timeout=10)


async def test_a_slow_answer_waits_for_release(upstream: Upstream) -> None:
    """Nothing is sent before release; a later answer waits for the next one."""
    for nth in (1, 2):
        task = asyncio.create_task(asyncio.to_thread(post, upstream, "openai", "slow~x"))
        assert await asyncio.to_thread(upstream.until_called, "slow~x", nth)
        assert not task.done()
        upstream.release()
        assert text_of(await task) == _ANSWER


def test_calls_are_recorded_and_counted_by_full_name(upstream: Upstream) -> None:
    """A once- kind fails at the first call of its full name only; every request is recorded."""
    statuses = [post(upstream, "openai", f"once-status-503~{test}").status_code for test in ("a", "a", "b")]
    first, second = upstream.calls_of("once-status-503~a")
    assert statuses == [503, 200, 503]
    assert (first.dialect, first.path, first.model) == ("openai", "/openai/v1/chat/completions", first.body["model"])
    assert second.headers["authorization"] == "Bearer k"
    assert second.asked is not None
    assert (second.asked.text, second.asked.wants_schema) == ("hi there", False)
    assert upstream.until_called("nobody", timeout=0) is False


async def test_schemas_are_the_same_in_every_dialect(
    upstream: Upstream, claude: anthropic.AsyncAnthropic, gemini: Any
) -> None:
    """The JSON requests of all dialects are equal once read."""
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": _SCHEMA}}
    post(upstream, "openai", "json~schema", response_format=wanted)
    await ask_claude(claude, "json~schema", output_config={"format": {"type": "json_schema", "schema": _SCHEMA}})
    await ask_gemini(gemini, "json~schema", response_mime_type="application/json", response_json_schema=_SCHEMA)
    read = [received.asked for received in upstream.calls_of("json~schema")]
    assert len(read) == 3
    assert all(each and each.wants_schema for each in read)
    assert len({replace(each, schema=None) for each in read if each}) == 1  # only OpenAI's form holds the schema


@pytest.mark.parametrize("kind", sorted({*KINDS} - _WITHOUT_END))
def test_every_dialect_answers_every_kind(upstream: Upstream, kind: str) -> None:
    """No kind fails with 500, streamed or not."""
    says, headers = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9}, {"x-api-key": "k"}
    headers |= {"Authorization": "Bearer k", "x-goog-api-key": "k", "MATCHA-API-KEY": "k"}
    contents = {"contents": [{"parts": [{"text": "x"}]}]}
    requests: list[tuple[str, dict[str, Any]]] = [
        (f"{upstream.url('google')}/v1/models/{kind}:{verb}", contents)
        for verb in ("generateContent", "streamGenerateContent")
    ]
    for is_streaming in (True, False):
        body = says | {"model": kind, "stream": is_streaming}
        requests += [(f"{upstream.url(name)}/chat/completions", body) for name in ("openai", "huggingface", "client")]
        requests.append((f"{upstream.url('anthropic')}/v1/messages", body))
    matcha = {"mission_id": 1, "llm_id": matcha_id(kind), "input": "x"}
    requests.append((f"{upstream.url('matcha')}/completions", matcha))
    with httpx.Client(headers=headers) as client:
        statuses = {client.post(url, json=body).status_code for url, body in requests}
    assert 500 not in statuses
    assert 200 in statuses or kind in {"badkey", "credit", "html-403", "html-502"}
