"""Time limits of a model call."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from shared import gateway, providers
from shared.errors import (
    ProviderTimeout,
    TurnTimeout,
)
from shared.events import ModelEvent, Reasoning, Text
from shared.providers import provider_named
from shared.routes import Route, RouteChosen
from tests.fakes.openai import OpenAiHost, chunk, sse
from tests.shared.model_sessions import MESSAGES, ROUTE, events_of, only_attempt, read_to_the_end, session_over

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_backoff")]


class SlowSdk:
    """A provider's client that is not loaded before the test allows it."""

    may_load: threading.Event
    loaded: list[SlowSdk]

    def __init__(self) -> None:
        assert self.may_load.wait(30)
        self.loaded.append(self)


@pytest.mark.parametrize(("field", "event"), [("content", Text("Hel")), ("reasoning_content", Reasoning("Hel"))])
async def test_a_silence_after_the_first_content_ends_as_a_timeout(
    host: OpenAiHost, monkeypatch: pytest.MonkeyPatch, field: str, event: ModelEvent
) -> None:
    """Text and reasoning end the wait for the first content; sent events stay, and the call is closed."""
    host.pieces, host.ending = [sse(chunk({field: "Hel"}))], "hold"
    monkeypatch.setattr(gateway, "FIRST_CONTENT_SECONDS", 1000)
    monkeypatch.setattr(gateway, "IDLE_SECONDS", 0.05)
    session = session_over()
    events, error = await events_of(session)
    assert (events, type(error)) == ([RouteChosen(ROUTE), event], ProviderTimeout)
    assert only_attempt(session).error_code == "provider_timeout"
    await host.until_hung_up()


async def test_a_model_that_never_begins_ends_as_a_timeout(host: OpenAiHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first content has its own time limit."""
    host.ending = "hold"
    monkeypatch.setattr(gateway, "FIRST_CONTENT_SECONDS", 0.05)
    session = session_over()
    events, error = await events_of(session)
    assert (events, type(error)) == ([], ProviderTimeout)
    assert [attempt.ok for attempt in session.attempts] == [False]


async def test_a_turn_ends_with_its_time(
    host: OpenAiHost, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TURN_SECONDS limits the whole answer, even while content arrives."""
    passed = 0.0
    monkeypatch.setattr(gateway, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed))
    monkeypatch.setattr(gateway, "FIRST_CONTENT_SECONDS", 1000)
    monkeypatch.setattr(gateway, "IDLE_SECONDS", 1000)
    environ(TURN_SECONDS="100")
    host.pieces, host.ending = [sse(*[chunk({"content": "on "})] * 3)], "hold"
    events = session_over().events(MESSAGES)
    assert await anext(events) == RouteChosen(ROUTE)
    passed = 101
    with pytest.raises(TurnTimeout):
        await asyncio.wait_for(read_to_the_end(events), 10)
    await host.until_hung_up()


async def test_an_sdk_that_loads_slowly_takes_no_more_than_the_turns_time(
    environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model was not asked, and its provider is not at fault. The load goes on, and serves all later turns."""
    environ(TURN_SECONDS="1")
    monkeypatch.setattr(SlowSdk, "may_load", threading.Event(), raising=False)
    monkeypatch.setattr(SlowSdk, "loaded", [], raising=False)
    monkeypatch.setattr(providers, "_PROVIDERS", {})
    monkeypatch.setitem(providers.SDKS, "slow", (__name__, "SlowSdk"))
    sessions = [session_over(Route("slow:m", "slow", "m", 77)) for _ in range(3)]
    try:
        ended = await asyncio.gather(*map(events_of, sessions))
    finally:
        SlowSdk.may_load.set()
    assert [(events, type(error)) for events, error in ended] == [([], TurnTimeout)] * 3
    for attempt in map(only_attempt, sessions):
        assert (attempt.error_code, attempt.is_fault) == ("turn_timeout", False)
    loaded: Any = await provider_named("slow")
    assert SlowSdk.loaded == [loaded]


@pytest.mark.parametrize("pieces", [[], [sse(chunk({"content": "on "}))]])
async def test_the_end_of_the_turns_time_is_no_fault_of_the_provider(
    host: OpenAiHost, environ: Callable[..., None], pieces: list[bytes]
) -> None:
    """When our own deadline ends a wait, before or after the first content, no circuit counts it."""
    environ(TURN_SECONDS="1")
    host.pieces, host.ending = pieces, "hold"
    session = session_over()
    assert type((await events_of(session))[1]) is TurnTimeout
    attempt = only_attempt(session)
    assert (attempt.error_code, attempt.is_fault, attempt.open_seconds) == ("turn_timeout", False, None)


async def test_a_model_that_is_never_silent_ends_with_the_turns_time(
    host: OpenAiHost, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow client never waits for the model, so the deadline is looked at between two events as well."""
    passed = 0.0
    monkeypatch.setattr(gateway, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed))
    environ(TURN_SECONDS="100")
    host.pieces = [sse(*[chunk({"content": "on "})] * 3), sse(chunk({"content": "on "}, "stop"))]
    events = session_over().events(MESSAGES)
    assert await anext(events) == RouteChosen(ROUTE)
    passed = 101
    with pytest.raises(TurnTimeout):
        await read_to_the_end(events)


async def test_an_accepted_call_without_content_is_not_made_again(
    host: OpenAiHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was paid for; pings and empty chunks only put off its limit."""
    host.pieces, host.ending = [b": ping\n\n", sse(chunk({"role": "assistant"})), b": ping\n\n"], "hold"
    monkeypatch.setattr(gateway, "FIRST_CONTENT_SECONDS", 0.05)
    session = session_over()
    assert type((await events_of(session))[1]) is ProviderTimeout
    assert len(session.attempts) == 1


async def test_a_reader_who_leaves_hangs_up_on_the_model_and_the_attempt_counts_as_good(host: OpenAiHost) -> None:
    """Closing the events is no failure: the provider's circuit stays closed."""
    host.pieces, host.ending = [sse(chunk({"content": "Hel"}))], "hold"
    session = session_over()
    events = session.events(MESSAGES)
    assert await anext(events) == RouteChosen(ROUTE)
    await events.aclose()
    await host.until_hung_up()
    assert only_attempt(session).ok
