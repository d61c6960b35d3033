"""Speaking to a model within time limits, over a real socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from types import SimpleNamespace

import pytest

from shared import gateway
from shared.errors import (
    NotConfigured,
    ParleyError,
    ProviderError,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnavailable,
)
from shared.events import Attempt, Finish, Message, ModelEvent, Route, Text, Usage
from shared.gateway import Exchange
from tests.openai_host import OpenAiHost, chunk, said, sse

pytestmark = pytest.mark.anyio
ROUTE = Route("openai:gpt-4o", "openai", "gpt-4o", 77)
MESSAGES = (Message("system", "Be kind."), Message("user", "Hi"))


async def _spoken(conversation: Exchange) -> tuple[list[ModelEvent], ParleyError | None]:
    events: list[ModelEvent] = []
    try:
        async with asyncio.timeout(10), aclosing(conversation.events()) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - what came before an error counts
    except ParleyError as error:
        return events, error
    return events, None


def _only(conversation: Exchange) -> Attempt:
    (attempt,) = conversation.attempts
    return attempt


async def test_a_model_is_asked_as_the_route_says(host: OpenAiHost) -> None:
    """The provider's own name, the messages and the limits travel, and the one attempt is recorded as good."""
    host.pieces = [said("Hello")]
    conversation = Exchange((ROUTE,), MESSAGES, 0.5)
    events, error = await _spoken(conversation)
    assert error is None
    assert events == [Text("Hello"), Usage(10, 5), Finish("stop")]
    body = host.received[0].json()
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("gpt-4o", 77, 0.5)
    assert [message["content"] for message in body["messages"]] == ["Be kind.", "Hi"]
    attempt = _only(conversation)
    assert (attempt.identifier, attempt.provider_key, attempt.ok, attempt.error_code) == (
        "openai:gpt-4o",
        "openai",
        True,
        None,
    )
    assert attempt.ms >= 0


async def test_a_node_is_asked_at_its_own_address(host: OpenAiHost) -> None:
    """The route brings the address, and its circuit is kept by the node."""
    host.pieces = [said("Hello")]
    route = Route("client:7:llama", "client", "llama", 10, node_id=7, base_url=host.url)
    conversation = Exchange((route,), MESSAGES, None)
    assert (await _spoken(conversation))[1] is None
    assert _only(conversation).provider_key == "client:7"
    assert "temperature" not in host.received[0].json()


async def test_a_failure_is_recorded_with_what_the_circuit_needs(host: OpenAiHost) -> None:
    """Code, upstream status and how long to leave it alone stand in the attempt."""
    host.status, host.headers = 429, {"Retry-After": "7"}
    conversation = Exchange((ROUTE,), MESSAGES, None)
    events, error = await _spoken(conversation)
    assert (events, type(error)) == ([], ProviderOverloaded)
    attempt = _only(conversation)
    assert (attempt.ok, attempt.error_code, attempt.upstream_status, attempt.open_seconds) == (
        False,
        "provider_overloaded",
        429,
        7,
    )


async def test_an_answer_that_breaks_off_is_passed_on_and_then_an_error(host: OpenAiHost) -> None:
    """A clean end without a reason is not taken for a complete answer."""
    host.pieces = [sse(chunk({"content": "Hel"}))]
    conversation = Exchange((ROUTE,), MESSAGES, None)
    events, error = await _spoken(conversation)
    assert events == [Text("Hel"), Finish("truncated")]
    assert type(error) is ProviderError
    assert not _only(conversation).ok


async def test_a_silence_between_two_words_ends_as_a_timeout(host: OpenAiHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said stays said; the model is given up and hung up on."""
    host.pieces, host.ending = [sse(chunk({"content": "Hel"}))], "hold"
    monkeypatch.setattr(gateway, "FIRST_TOKEN_SECONDS", 1000)
    monkeypatch.setattr(gateway, "IDLE_SECONDS", 0.05)
    conversation = Exchange((ROUTE,), MESSAGES, None)
    events, error = await _spoken(conversation)
    assert (events, type(error)) == ([Text("Hel")], ProviderTimeout)
    assert _only(conversation).error_code == "provider_timeout"
    await host.until_hung_up()


async def test_a_model_that_never_begins_ends_as_a_timeout(host: OpenAiHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first word has its own limit."""
    host.ending = "hold"
    monkeypatch.setattr(gateway, "FIRST_TOKEN_SECONDS", 0.05)
    conversation = Exchange((ROUTE,), MESSAGES, None)
    events, error = await _spoken(conversation)
    assert (events, type(error)) == ([], ProviderTimeout)
    assert not _only(conversation).ok


async def test_a_turn_ends_with_its_time(
    host: OpenAiHost, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TURN_SECONDS bounds the whole of it, however lively the model is."""
    passed = 0.0
    monkeypatch.setattr(gateway, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed))
    environ(TURN_SECONDS="100")
    host.pieces, host.ending = [sse(*[chunk({"content": "on "})] * 3)], "hold"
    events = Exchange((ROUTE,), MESSAGES, None).events()
    assert await anext(events) == Text("on ")
    passed = 101
    with pytest.raises(ProviderTimeout):
        async for _ in events:
            pass
    await host.until_hung_up()


async def test_pings_are_no_sign_of_life(host: OpenAiHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that only keeps its line open does not put off the limit for the first word."""
    host.pieces, host.ending = [b": ping\n\n", sse(chunk({"role": "assistant"})), b": ping\n\n"], "hold"
    monkeypatch.setattr(gateway, "FIRST_TOKEN_SECONDS", 0.05)
    assert type((await _spoken(Exchange((ROUTE,), MESSAGES, None)))[1]) is ProviderTimeout


async def test_a_provider_whose_circuit_is_open_is_not_asked(host: OpenAiHost) -> None:
    """Nobody waits for what failed a moment ago."""
    route = replace(ROUTE, open_until="2026-11-21T05:00:00+00:00")
    conversation = Exchange((route,), MESSAGES, None)
    events, error = await _spoken(conversation)
    assert (events, type(error)) == ([], ProviderUnavailable)
    assert error is not None
    assert error.retry_after_seconds
    assert host.received == []


@pytest.mark.parametrize(
    ("route", "variables", "kind"),
    [
        (replace(ROUTE, provider="nobody"), {}, ProviderUnavailable),
        (ROUTE, {"OPENAI_API_KEY": ""}, NotConfigured),
    ],
)
async def test_a_provider_this_deployment_lacks_is_a_recorded_failure(
    host: OpenAiHost,
    environ: Callable[..., None],
    route: Route,
    variables: dict[str, str],
    kind: type[ParleyError],
) -> None:
    """Neither a missing provider nor a missing key is a crash."""
    environ(**variables)
    conversation = Exchange((route,), MESSAGES, None)
    assert type((await _spoken(conversation))[1]) is kind
    assert not _only(conversation).ok
    assert host.received == []


async def test_a_reader_who_leaves_hangs_up_on_the_model_and_the_attempt_counts_as_good(host: OpenAiHost) -> None:
    """Closing the events is nobody's failure: the provider's circuit stays closed."""
    host.pieces, host.ending = [sse(chunk({"content": "Hel"}))], "hold"
    conversation = Exchange((ROUTE,), MESSAGES, None)
    events = conversation.events()
    assert await anext(events) == Text("Hel")
    await events.aclose()
    await host.until_hung_up()
    assert _only(conversation).ok


@pytest.mark.parametrize("kind", ["content", "reasoning_content"])
async def test_a_model_that_does_not_stop_is_stopped(host: OpenAiHost, kind: str) -> None:
    """A host that sends far more than it was asked for is cut off; what it said within reason has been passed on."""
    host.pieces, host.ending = [sse(*[chunk({kind: "x" * 1000})] * 50)], "hold"
    conversation = Exchange((ROUTE,), MESSAGES, None)
    events, error = await _spoken(conversation)
    assert type(error) is ProviderError
    assert 0 < len(events) < 50
    assert not _only(conversation).ok
    await host.until_hung_up()
