"""The scripted model lists."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import pytest

from tests.fakes.providers import Upstream

pytestmark = pytest.mark.anyio


async def test_lists_are_paged_as_the_sdks_expect(claude: anthropic.AsyncAnthropic, gemini: Any) -> None:
    """Both SDKs read all pages; one of Google's models cannot generate content."""
    names = [model.id async for model in claude.models.list()]
    listed = [model async for model in await gemini.models.list()]
    assert names == ["claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"]
    assert ["generateContent" in model.supported_actions for model in listed] == [True, True, True, False]


def test_hosts_list_models_in_their_own_way(upstream: Upstream) -> None:
    """OpenAI lists names, Hugging Face providers, a node the requested names; a missing key is Google's 400."""
    hosts = {"openai": "gpt-4o", "huggingface": "meta-llama/Llama-3.1-8B-Instruct", "client": "echo"}
    headers = {"Authorization": "Bearer k"}
    found = {name: httpx.get(f"{upstream.url(name)}/models", headers=headers).json()["data"] for name in hosts}
    named = httpx.get(f"{upstream.url('client')}/models", headers={"x-models": "a,b"}).json()["data"]
    assert {name: data[0]["id"] for name, data in found.items()} == hosts
    assert [model["id"] for model in named] == ["a", "b"]
    assert found["client"][0]["max_model_len"] == 8192
    assert {each["status"] for model in found["huggingface"] for each in model["providers"]} == {"live", "staging"}
    assert httpx.get(f"{upstream.url('google')}/v1/models").status_code == 400
