"""The SDKs' own clients of the scripted model server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import pytest
from google import genai
from google.genai import types

from tests.fakes.providers import Upstream


@pytest.fixture
async def claude(upstream: Upstream, anyio_backend: str) -> AsyncIterator[anthropic.AsyncAnthropic]:  # noqa: ARG001
    """Anthropic's client."""
    async with anthropic.AsyncAnthropic(api_key="k", base_url=upstream.url("anthropic"), max_retries=0) as client:
        yield client


@pytest.fixture
async def gemini(upstream: Upstream, anyio_backend: str) -> AsyncIterator[Any]:  # noqa: ARG001
    """Google's client."""
    async with httpx2.AsyncClient() as http:
        options = types.HttpOptions(base_url=upstream.url("google"), httpx_async_client=http)
        options.retry_options = types.HttpRetryOptions(attempts=1)
        async with genai.Client(api_key="k", http_options=options, vertexai=False).aio as client:
            yield client
