"""Fixtures of the tests of shared/."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from shared import fallback
from tests.fakes.openai import OpenAiHost, serving_models
from tests.fakes.providers import Upstream
from tests.providers import variables


@pytest.fixture
def configured(
    environ: Callable[..., None],
    upstream: Upstream,
    sessions: None,  # noqa: ARG001 - closed after the test
    no_backoff: None,  # noqa: ARG001 - a setting of the test
) -> None:
    """Every provider is the scripted server, and retries do not wait."""
    environ(**variables(upstream))


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries do not wait."""
    monkeypatch.setattr(fallback, "BACKOFF_SECONDS", 0.0)


@pytest.fixture
async def other(host: OpenAiHost, environ: Callable[..., None]) -> AsyncIterator[OpenAiHost]:  # noqa: ARG001 - order
    """A second provider beside the first: Hugging Face."""
    async with serving_models() as running:
        environ(HF_BASE_URL=running.url, HF_TOKEN="hf-ours")
        yield running
