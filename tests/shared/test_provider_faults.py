"""Failures of every provider through the gateway: retries, errors and disconnects."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from shared import gateway
from shared.errors import (
    AnswerCut,
    ModelUnavailable,
    NodeFailed,
    ProviderAuthFailed,
    ProviderError,
    ProviderOverloaded,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
)
from shared.events import Usage
from shared.routes import RouteChosen
from tests.fakes.providers import Upstream
from tests.providers import (
    PROVIDERS,
    QUESTION,
    STREAMING,
    events_of,
    route_to,
    session_over,
    text_of,
    variables,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("configured")]


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("status-400", ProviderRefused),
        ("status-401", ProviderAuthFailed),
        ("badkey", ProviderAuthFailed),
        ("status-402", ProviderAuthFailed),
        ("status-403", ModelUnavailable),
        ("status-404", ModelUnavailable),
    ],
)
async def test_permanent_failures_are_not_retried(
    name: str, kind: str, expected: type[ProviderError], upstream: Upstream
) -> None:
    """A rejected request and a rejected key keep their class; only a rejected request has the provider's reason."""
    session = session_over(route_to(name, kind, upstream))
    events, error = await events_of(session)
    assert (events, type(error)) == ([], NodeFailed if name == "client" else expected)
    assert ("secret upstream words" in str(error)) is (type(error) is ProviderRefused)
    assert len(session.attempts) == 1
    assert session.usage == Usage(0, 0, source="estimate")


_FIRST = ["status-429", "status-500", "status-503", "status-529", "html-502", "html", "cut-first", "early-first"]


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("kind", [*_FIRST, "malformed-first", "overload-first"])
async def test_temporary_failures_are_retried_before_the_first_content(
    name: str, kind: str, upstream: Upstream
) -> None:
    """Nothing of the first attempt is sent or charged; a node has one attempt only."""
    session = session_over(route_to(name, f"once-{kind}", upstream))
    events, error = await events_of(session)
    if name == "client":
        assert (events, type(error), len(session.attempts)) == ([], NodeFailed, 1)
        return
    assert error is None
    assert text_of(events) == "one two three "
    assert [attempt.ok for attempt in session.attempts] == [False, True]
    assert session.attempts[0].is_fault
    assert session.usage.source in {"provider", "partial"}
    assert session.attempts[1].usage == Usage(60, 3, 20)


@pytest.mark.parametrize("name", [name for name in STREAMING if name in {"anthropic", "google"}])
@pytest.mark.parametrize("kind", ["once-malformed-first", "once-cut-first", "echo"])
async def test_the_connections_generators_are_closed_and_not_left_to_the_garbage_collector(
    name: str, kind: str, upstream: Upstream
) -> None:
    """Closed by the collector, they run in tasks of their own, whose failures no caller sees."""
    hooks, left = sys.get_asyncgen_hooks(), list[str]()

    def finalize(generator: Any) -> None:
        left.append(generator.__qualname__)
        if hooks.finalizer is not None:
            hooks.finalizer(generator)

    sys.set_asyncgen_hooks(firstiter=hooks.firstiter, finalizer=finalize)
    try:
        await events_of(session_over(route_to(name, kind, upstream)))
        gc.collect()
    finally:
        sys.set_asyncgen_hooks(*hooks)
    assert {"AsyncResponseStream.__aiter__", "_Watched._read"}.isdisjoint(left), left


@pytest.mark.parametrize("name", STREAMING)
async def test_a_silent_model_is_given_up_for_the_next_route(
    name: str, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not called again, as it may have accepted the call, which is then paid for."""
    # Long enough for a call to reach the upstream on a busy machine.
    monkeypatch.setattr(gateway, "HEADER_SECONDS", 2)
    monkeypatch.setattr(gateway, "FIRST_CONTENT_SECONDS", 2)
    route = route_to(name, "stall-first", upstream)
    _, error = await events_of(session := session_over(route, route_to("openai", "echo", upstream)))
    assert error is None
    assert [attempt.ok for attempt in session.attempts] == [False, True]


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cut", AnswerCut),
        ("early", AnswerCut),
        ("malformed", ProviderError),
        ("overload", ProviderOverloaded),
        ("stall", ProviderTimeout),
    ],
)
async def test_after_the_first_content_a_fault_ends_the_answer(
    name: str, kind: str, expected: type[ProviderError], upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text so far is sent once and charged with its input, by count and not by maximum."""
    monkeypatch.setattr(gateway, "IDLE_SECONDS", 0.2 if kind == "stall" else 20)
    session = session_over(route_to(name, kind, upstream), route_to("openai", "echo", upstream))
    events, error = await events_of(session)
    assert type(error) is (NodeFailed if name == "client" else expected)
    assert text_of(events) == "one two "
    (attempt,) = session.attempts
    assert attempt.usage is not None
    assert 0 < attempt.usage.input_tokens <= 60
    assert 2 <= attempt.usage.output_tokens <= 12
    assert attempt.usage.source in {"partial", "estimate"}


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_long_delay_falls_back_to_the_next_route(name: str, upstream: Upstream) -> None:
    """Each dialect has its own field for the delay; Google's is in the body."""
    fallback = route_to("openai", "fixed", upstream)
    session = session_over(route_to(name, "status-429-after-600", upstream), fallback)
    events, error = await events_of(session)
    assert error is None
    assert isinstance(events[0], RouteChosen)
    assert (events[0].route, text_of(events)) == (fallback, "one two three")
    alone = session_over(route_to(name, "status-429-after-600", upstream))
    error = (await events_of(alone))[1]
    assert error is not None
    assert error.retry_after_seconds == (None if name == "client" else 600)


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("kind", ["endless", "stall", "stall-first"])
async def test_a_disconnect_closes_the_connection_to_every_provider(name: str, kind: str, upstream: Upstream) -> None:
    """The model loses its reader, before the first word and after it."""
    route = route_to(name, kind, upstream)
    events = session_over(route).events(QUESTION)
    reading = asyncio.ensure_future(_read(events))
    assert await asyncio.to_thread(upstream.until_called, route.upstream_id)
    if kind != "stall-first":
        await asyncio.to_thread(upstream.started.acquire, True, 10)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await asyncio.to_thread(upstream.until_hung_up, route.upstream_id)


async def _read(events: Any) -> None:
    async with aclosing(events):
        async for _ in events:
            pass


@pytest.mark.parametrize(
    ("name", "variable"),
    [("google", "GEMINI_BASE_URL"), ("anthropic", "ANTHROPIC_BASE_URL"), ("matcha", "MATCHA_BASE_URL")],
)
async def test_a_provider_that_is_not_there_is_unreachable(
    name: str, variable: str, environ: Callable[..., None], upstream: Upstream
) -> None:
    """A refused connection raises ProviderUnreachable and opens the circuit for a moment."""
    environ(**(variables(upstream) | {variable: "http://127.0.0.1:9"}))
    session = session_over(route_to(name, "echo", upstream))
    _, error = await events_of(session)
    assert type(error) is ProviderUnreachable
    assert session.attempts[0].open_seconds == 10
