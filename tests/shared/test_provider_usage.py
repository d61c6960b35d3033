"""Token counts of every provider."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from anthropic import types

from shared.events import Finish, Reasoning, Usage
from shared.providers.anthropic_messages import usage_of
from tests.fakes.providers import GOLDEN, Upstream
from tests.providers import (
    PROVIDERS,
    STREAMING,
    events_of,
    route_to,
    session_over,
    text_of,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("configured")]


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("kind", ["fixed", "think"])
async def test_usage_is_the_same_in_every_dialect(name: str, kind: str, upstream: Upstream) -> None:
    """Input includes cached tokens and output includes reasoning, for every provider."""
    session = session_over(route_to(name, kind, upstream))
    events, error = await events_of(session)
    assert error is None
    assert text_of(events) == "one two three"
    assert [e.text for e in events if isinstance(e, Reasoning)] == (["Let me think."] if kind == "think" else [])
    assert asdict(session.usage) == {**GOLDEN, "source": "provider", "cache_write_tokens": 0}
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "stop"


@pytest.mark.parametrize("name", PROVIDERS)
async def test_missing_usage_is_estimated(name: str, upstream: Upstream) -> None:
    """An answer without usage is not free; its source is `estimate`."""
    kind = "fixed" if name == "matcha" else "usage-none"
    session = session_over(route_to(name, kind, upstream))
    _, error = await events_of(session)
    assert error is None
    assert session.usage.source == "estimate"
    assert session.usage.input_tokens > 0
    assert session.usage.output_tokens > 0


@pytest.mark.parametrize("name", STREAMING)
async def test_wrong_usage_is_ignored(name: str, upstream: Upstream) -> None:
    """Negative counts neither lower the cost nor break the turn."""
    session = session_over(route_to(name, "usage-wrong", upstream))
    events, error = await events_of(session)
    assert error is None
    assert text_of(events) == "one two three"
    assert min(session.usage.input_tokens, session.usage.output_tokens) > 0
    assert session.usage.output_tokens <= 1000


def test_claudes_first_output_count_is_a_placeholder() -> None:
    """The output count of a stream's start is not charged, whatever it is; its input count is."""
    start = types.Usage(input_tokens=40, output_tokens=250)
    assert usage_of(start, start, is_placeholder=True) == Usage(40, 0)
    assert usage_of(types.MessageDeltaUsage(output_tokens=3), start) == Usage(40, 3)


def test_zeros_at_claudes_end_do_not_replace_the_start() -> None:
    """Proxies send input counts of zero with the last event; a count that is there wins."""
    start = types.Usage(input_tokens=40, output_tokens=1, cache_read_input_tokens=20)
    end = types.MessageDeltaUsage(
        output_tokens=3, input_tokens=0, cache_read_input_tokens=0, cache_creation_input_tokens=0
    )
    assert usage_of(end, start) == Usage(60, 3, 20)
    later = types.MessageDeltaUsage(output_tokens=3, input_tokens=11)
    assert usage_of(later, types.Usage(input_tokens=0, output_tokens=0)) == Usage(11, 3)


def test_what_claude_writes_to_its_cache_is_counted_apart() -> None:
    """It is part of the input and has a price of its own; a count of the end wins over that of the start."""
    start = types.Usage(input_tokens=40, output_tokens=1, cache_read_input_tokens=20, cache_creation_input_tokens=100)
    assert usage_of(types.MessageDeltaUsage(output_tokens=3), start) == Usage(160, 3, 20, cache_write_tokens=100)
    end = types.MessageDeltaUsage(output_tokens=3, cache_creation_input_tokens=90)
    assert usage_of(end, start) == Usage(150, 3, 20, cache_write_tokens=90)
