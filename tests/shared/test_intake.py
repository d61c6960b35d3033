"""The events of a provider, measured and within bounds."""

from __future__ import annotations

import pytest

from shared.errors import (
    ProviderError,
)
from tests.fakes.openai import OpenAiHost, chunk, sse, text_chunk
from tests.shared.model_sessions import ROUTE, events_of, only_attempt, session_over

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_backoff")]


@pytest.mark.parametrize("kind", ["content", "reasoning_content"])
async def test_a_model_that_does_not_stop_is_stopped(host: OpenAiHost, kind: str) -> None:
    """A host that sends far more than the request allows is cut off; the allowed part has been passed on."""
    host.pieces, host.ending = [sse(*[chunk({kind: "x" * 1000})] * 50)], "hold"
    session = session_over()
    events, error = await events_of(session)
    assert type(error) is ProviderError
    assert 0 < len(events) < 50
    assert not only_attempt(session).ok
    await host.until_hung_up()


async def test_an_impossible_count_raises_an_alert(host: OpenAiHost, capsys: pytest.CaptureFixture[str]) -> None:
    """The operator learns that a provider counts more than its model holds."""
    host.pieces = [text_chunk("Hi", 10, 10_000_000)]
    session = session_over()
    await events_of(session)
    assert session.usage.output_tokens == ROUTE.max_output_tokens
    assert session.usage.source == "partial"
    assert '"error": "usage_excessive"' in capsys.readouterr().out
