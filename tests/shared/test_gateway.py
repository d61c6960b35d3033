"""Speaking to a model within time limits, over a real socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from shared import fallback, gateway
from shared.errors import (
    AnswerCut,
    BudgetExceeded,
    NodeFailed,
    NotConfigured,
    ParleyError,
    ProviderError,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnavailable,
)
from shared.events import Finish, ModelEvent, Reasoning, Text, Usage
from shared.gateway import ModelSession, Options
from shared.messages import Message, ModelRequest, Tool, ToolCall
from shared.routes import Attempt, Route, RouteChosen
from shared.token_bounds import token_upper_bound
from tests.fakes.openai import OpenAiHost, chunk, serving_models, sse, text_chunk

pytestmark = pytest.mark.anyio
ROUTE = Route("openai:gpt-4o", "openai", "gpt-4o", 77)
MESSAGES = (Message("system", "Be kind."), Message("user", "Hi"))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries have no delay in this test."""
    monkeypatch.setattr(fallback, "BACKOFF_SECONDS", 0.0)


def _exchange(*routes: Route, options: Options | None = None) -> ModelSession:
    return ModelSession(routes or (ROUTE,), options or Options(), time.monotonic())


async def _events_of(conversation: ModelSession) -> tuple[list[ModelEvent | RouteChosen], ParleyError | None]:
    events: list[ModelEvent | RouteChosen] = []
    try:
        async with asyncio.timeout(10), aclosing(conversation.events(MESSAGES)) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - what came before an error counts
    except ParleyError as error:
        return events, error
    return events, None


async def _read_to_the_end(events: AsyncIterator[ModelEvent | RouteChosen]) -> None:
    async for _ in events:
        pass


def _only(conversation: ModelSession) -> Attempt:
    (attempt,) = conversation.attempts
    return attempt


async def test_a_model_is_asked_as_the_route_says(host: OpenAiHost) -> None:
    """The provider's own name, the messages and the limits travel, and the one attempt is recorded as good."""
    host.pieces = [text_chunk("Hello")]
    conversation = _exchange(options=Options(temperature=0.5))
    events, error = await _events_of(conversation)
    assert error is None
    assert events == [RouteChosen(ROUTE), Text("Hello"), Usage(10, 5), Finish("stop")]
    body = host.received[0].json()
    assert (body["model"], body["max_completion_tokens"], body["temperature"]) == ("gpt-4o", 77, 0.5)
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
    host.pieces = [text_chunk("Hello")]
    route = Route("client:7:llama", "client", "llama", 10, node_id=7, base_url=host.url)
    conversation = _exchange(route)
    assert (await _events_of(conversation))[1] is None
    assert _only(conversation).provider_key == "client:7"
    assert "temperature" not in host.received[0].json()


async def test_a_failure_is_recorded_with_what_the_circuit_needs(
    host: OpenAiHost, environ: Callable[..., None]
) -> None:
    """The attempt has the code, the upstream status and the pause that the provider asks for."""
    environ(TURN_SECONDS="10")
    host.status, host.headers = 429, {"Retry-After": "7"}
    conversation = _exchange()
    events, error = await _events_of(conversation)
    assert (events, type(error)) == ([], ProviderOverloaded)
    assert len(conversation.attempts) == 1  # seven seconds do not fit into ten
    attempt = _only(conversation)
    assert (attempt.ok, attempt.error_code, attempt.upstream_status, attempt.open_seconds) == (
        False,
        "provider_overloaded",
        429,
        7,
    )
    assert attempt.is_fault


async def test_an_answer_that_breaks_off_is_passed_on_and_then_an_error(host: OpenAiHost) -> None:
    """A clean end without a reason is not taken for a complete answer."""
    host.pieces = [sse(chunk({"content": "Hel"}))]
    conversation = _exchange()
    events, error = await _events_of(conversation)
    assert events == [RouteChosen(ROUTE), Text("Hel"), Finish("truncated")]
    assert type(error) is AnswerCut
    assert not _only(conversation).ok


@pytest.mark.parametrize(("field", "event"), [("content", Text("Hel")), ("reasoning_content", Reasoning("Hel"))])
async def test_a_silence_after_the_first_content_ends_as_a_timeout(
    host: OpenAiHost, monkeypatch: pytest.MonkeyPatch, field: str, event: ModelEvent
) -> None:
    """Text and reasoning end the wait for the first content; sent events stay, and the call is closed."""
    host.pieces, host.ending = [sse(chunk({field: "Hel"}))], "hold"
    monkeypatch.setattr(gateway, "FIRST_TOKEN_SECONDS", 1000)
    monkeypatch.setattr(gateway, "IDLE_SECONDS", 0.05)
    conversation = _exchange()
    events, error = await _events_of(conversation)
    assert (events, type(error)) == ([RouteChosen(ROUTE), event], ProviderTimeout)
    assert _only(conversation).error_code == "provider_timeout"
    await host.until_hung_up()


async def test_a_model_that_never_begins_ends_as_a_timeout(host: OpenAiHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first word has its own limit."""
    host.ending = "hold"
    monkeypatch.setattr(gateway, "FIRST_TOKEN_SECONDS", 0.05)
    conversation = _exchange()
    events, error = await _events_of(conversation)
    assert (events, type(error)) == ([], ProviderTimeout)
    assert [attempt.ok for attempt in conversation.attempts] == [False, False]


@pytest.mark.parametrize(("is_counted", "has_money"), [(True, True), (True, False), (False, False)])
async def test_another_call_is_held_for_when_the_failed_one_is_charged(
    host: OpenAiHost, monkeypatch: pytest.MonkeyPatch, is_counted: bool, has_money: bool
) -> None:
    """Without the money the turn ends as its call did; a call that costs nothing needs none."""
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}}
    host.pieces, host.ending = [sse(usage)] if is_counted else [], "hold"
    monkeypatch.setattr(gateway, "FIRST_TOKEN_SECONDS", 0.2)
    held: list[int] = []

    async def hold(tokens: int) -> None:
        held.append(tokens)
        if not has_money:
            raise BudgetExceeded("There is none.")

    conversation = ModelSession((ROUTE,), Options(), time.monotonic(), hold)
    _, error = await _events_of(conversation)
    assert type(error) is ProviderTimeout
    assert held == ([token_upper_bound(MESSAGES, ())] if is_counted else [])
    assert len(conversation.attempts) == (1 if is_counted and not has_money else 2)


async def test_a_turn_ends_with_its_time(
    host: OpenAiHost, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TURN_SECONDS bounds the whole of it, however lively the model is."""
    passed = 0.0
    monkeypatch.setattr(gateway, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed))
    monkeypatch.setattr(gateway, "FIRST_TOKEN_SECONDS", 1000)
    monkeypatch.setattr(gateway, "IDLE_SECONDS", 1000)
    environ(TURN_SECONDS="100")
    host.pieces, host.ending = [sse(*[chunk({"content": "on "})] * 3)], "hold"
    events = _exchange().events(MESSAGES)
    assert await anext(events) == RouteChosen(ROUTE)
    passed = 101
    with pytest.raises(ProviderTimeout):
        await asyncio.wait_for(_read_to_the_end(events), 10)
    await host.until_hung_up()


async def test_a_bug_in_the_middle_of_an_answer_is_a_failed_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that is none of our errors is recorded as `internal_error`, after the text that was sent."""

    class Broken:
        async def stream(self, _request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            yield Text("Hel")
            raise RuntimeError

    async def provider_named(_name: str) -> Broken:
        return Broken()

    monkeypatch.setattr(gateway, "provider_named", provider_named)
    conversation = _exchange()
    events = conversation.events(MESSAGES)
    assert [await anext(events), await anext(events)] == [RouteChosen(ROUTE), Text("Hel")]
    with pytest.raises(RuntimeError):
        await anext(events)
    attempt = _only(conversation)
    assert (attempt.ok, attempt.error_code) == (False, "internal_error")


async def test_pings_are_no_sign_of_life(host: OpenAiHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that only keeps its line open does not put off the limit for the first word."""
    host.pieces, host.ending = [b": ping\n\n", sse(chunk({"role": "assistant"})), b": ping\n\n"], "hold"
    monkeypatch.setattr(gateway, "FIRST_TOKEN_SECONDS", 0.05)
    assert type((await _events_of(_exchange()))[1]) is ProviderTimeout


async def test_a_provider_whose_circuit_is_open_is_not_asked(host: OpenAiHost) -> None:
    """A route that failed a moment ago is not waited for."""
    route = replace(ROUTE, open_until="2026-11-21T05:00:00+00:00")
    conversation = _exchange(route)
    events, error = await _events_of(conversation)
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
    conversation = _exchange(route)
    assert type((await _events_of(conversation))[1]) is kind
    assert not _only(conversation).ok
    assert host.received == []


async def test_a_reader_who_leaves_hangs_up_on_the_model_and_the_attempt_counts_as_good(host: OpenAiHost) -> None:
    """Closing the events is no failure: the provider's circuit stays closed."""
    host.pieces, host.ending = [sse(chunk({"content": "Hel"}))], "hold"
    conversation = _exchange()
    events = conversation.events(MESSAGES)
    assert await anext(events) == RouteChosen(ROUTE)
    await events.aclose()
    await host.until_hung_up()
    assert _only(conversation).ok


@pytest.mark.parametrize("kind", ["content", "reasoning_content"])
async def test_a_model_that_does_not_stop_is_stopped(host: OpenAiHost, kind: str) -> None:
    """A host that sends far more than the request allows is cut off; the allowed part has been passed on."""
    host.pieces, host.ending = [sse(*[chunk({kind: "x" * 1000})] * 50)], "hold"
    conversation = _exchange()
    events, error = await _events_of(conversation)
    assert type(error) is ProviderError
    assert 0 < len(events) < 50
    assert not _only(conversation).ok
    await host.until_hung_up()


NODE = Route("client:7:llama", "client", "llama", 10, node_id=7, base_url="http://127.0.0.1:9/v1")
HF = Route("huggingface:m", "huggingface", "m", 77)
TOOL = Tool("find", "Finds", {"type": "object"})
USED = Usage(10, 5)


@pytest.fixture
async def other(host: OpenAiHost, environ: Callable[..., None]) -> AsyncIterator[OpenAiHost]:  # noqa: ARG001 - order
    """A second provider beside the first."""
    async with serving_models() as running:
        environ(HF_BASE_URL=running.url, HF_TOKEN="hf-ours")
        yield running


async def test_a_failed_call_is_repeated_and_only_the_good_answer_is_sent(host: OpenAiHost) -> None:
    """One answer, two attempts, the first free of charge."""
    host.script = [(500, []), (200, [text_chunk("Hello")])]
    conversation = _exchange()
    events, error = await _events_of(conversation)
    assert (events, error) == ([RouteChosen(ROUTE), Text("Hello"), USED, Finish("stop")], None)
    assert [(a.ok, a.error_code, a.usage) for a in conversation.attempts] == [
        (False, "provider_error", None),
        (True, None, USED),
    ]
    assert conversation.usage == USED


async def test_what_a_failed_call_counted_is_not_mixed_into_the_good_one(host: OpenAiHost) -> None:
    """Usage before an announced overload belongs to that call, and it is not charged."""
    counted = {"choices": [], "usage": {"prompt_tokens": 999, "completion_tokens": 999}}
    silent = sse(chunk({"content": "Hello"}), chunk({}, "stop"))
    host.script = [(200, [sse(counted, {"error": "busy"})]), (200, [silent])]
    conversation = _exchange()
    assert (await _events_of(conversation))[0] == [RouteChosen(ROUTE), Text("Hello"), Finish("stop")]
    assert conversation.usage.source == "estimate"
    assert conversation.usage.input_tokens < 999


async def test_the_next_route_serves_when_the_first_is_down(host: OpenAiHost, other: OpenAiHost) -> None:
    """RouteChosen names the route that answers."""
    host.status, other.pieces = 500, [text_chunk("Hello")]
    conversation = _exchange(ROUTE, HF)
    events, error = await _events_of(conversation)
    assert (events[0], error) == (RouteChosen(HF), None)
    assert conversation.route == HF
    assert [a.provider_key for a in conversation.attempts] == ["openai", "openai", "huggingface"]
    assert other.received[0].headers["authorization"] == "Bearer hf-ours"


@pytest.mark.parametrize(
    "pieces",
    [
        [sse(chunk({"content": "Hel"}))],
        [sse(chunk({"content": "Hel"}), {"error": "busy"})],
        [sse(chunk({"content": "Hel"})), b"data: {broken\n\n"],
        [sse(chunk({"reasoning_content": "Hm"}))],
    ],
    ids=["early end", "announced", "malformed", "only thoughts"],
)
async def test_after_the_first_content_there_is_no_second_answer(
    host: OpenAiHost, other: OpenAiHost, pieces: list[bytes]
) -> None:
    """What was begun is not begun again, here or elsewhere; what it used is kept."""
    host.pieces, other.pieces = pieces, [text_chunk("Hello")]
    conversation = _exchange(ROUTE, HF)
    events, error = await _events_of(conversation)
    assert isinstance(error, ProviderError)
    assert [e for e in events if isinstance(e, Text | Reasoning)] in ([Text("Hel")], [Reasoning("Hm")])
    assert (len(host.received), other.received) == (1, [])
    attempt = _only(conversation)
    assert attempt.usage is not None
    assert attempt.usage.output_tokens > 0


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "provider_auth_failed"),
        (402, "provider_auth_failed"),
        (403, "model_unavailable"),
        (404, "model_unavailable"),
    ],
)
async def test_a_refused_key_or_model_raises_an_alert_and_the_next_route_answers(
    host: OpenAiHost, other: OpenAiHost, capsys: pytest.CaptureFixture[str], status: int, code: str
) -> None:
    """The operator has to fix it, and the user has an answer all the same."""
    host.status, other.pieces = status, [text_chunk("Hello")]
    conversation = _exchange(ROUTE, HF)
    events, error = await _events_of(conversation)
    assert (Text("Hello") in events, error) == (True, None)
    assert [(attempt.ok, attempt.error_code) for attempt in conversation.attempts] == [(False, code), (True, None)]
    assert conversation.attempts[0].open_seconds == (300 if code == "provider_auth_failed" else None)
    assert conversation.attempts[0].is_fault is (code == "model_unavailable")
    alert = json.loads(capsys.readouterr().out)
    assert (alert["event"], alert["provider"], alert["model"]) == ("alert", "openai", ROUTE.identifier)
    assert (alert["error"], alert["upstream_status"]) == (code, status)


async def test_a_page_that_refuses_a_prompt_is_no_fault(
    host: OpenAiHost, other: OpenAiHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """A filter in front of the provider refuses one request: nothing counts against the model, and the next answers."""
    host.status, host.headers, other.pieces = 403, {"Content-Type": "text/html; charset=utf-8"}, [text_chunk("Hello")]
    conversation = _exchange(ROUTE, HF)
    assert (await _events_of(conversation))[1] is None
    refused = conversation.attempts[0]
    assert (refused.error_code, refused.is_fault, refused.open_seconds) == ("provider_refused", False, None)
    assert capsys.readouterr().out == ""


async def test_a_route_without_a_key_or_with_an_open_circuit_is_passed_over(
    other: OpenAiHost, environ: Callable[..., None]
) -> None:
    """Both are in the attempts; neither counts as a try."""
    environ(OPENAI_API_KEY="")
    other.pieces = [text_chunk("Hello")]
    until = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    conversation = _exchange(replace(ROUTE, open_until=until), ROUTE, HF)
    events, error = await _events_of(conversation)
    assert (events[0], error) == (RouteChosen(HF), None)
    assert [a.error_code for a in conversation.attempts] == ["provider_unavailable", "not_configured", None]


async def test_an_open_circuit_says_when_to_come_back(host: OpenAiHost) -> None:
    """As long as it is open, not longer."""
    until = (datetime.now(UTC) + timedelta(seconds=200)).isoformat()
    _, error = await _events_of(_exchange(replace(ROUTE, open_until=until)))
    assert error is not None
    assert error.retry_after_seconds is not None
    assert 150 < error.retry_after_seconds <= 200
    assert host.received == []


@pytest.mark.parametrize("failing", ["refused", "silent", "cut", "early", "nonsense", "endless"])
async def test_a_node_fails_in_one_way_only(host: OpenAiHost, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Message, code and attempt reveal nothing about that address, and it is called once."""
    monkeypatch.setattr(gateway, "FIRST_TOKEN_SECONDS", 0.05 if failing == "silent" else 20)
    route = replace(NODE, base_url=NODE.base_url if failing == "refused" else host.url)
    host.pieces = {"cut": [sse(chunk({"content": "Hel"}))], "nonsense": [b"data: x\n\n"]}.get(failing, [])
    if failing == "endless":
        host.pieces = [sse(*[chunk({"content": "x" * 1000})] * 50)]
    host.ending = "hold" if failing == "silent" else "cut" if failing == "cut" else "clean"
    conversation = _exchange(route)
    error = (await _events_of(conversation))[1]
    assert type(error) is NodeFailed
    assert str(error) == str(NodeFailed())
    attempt = _only(conversation)
    assert (attempt.error_code, attempt.upstream_status) == ("node_failed", None)


async def test_a_second_call_goes_on_where_the_first_was_served(host: OpenAiHost, other: OpenAiHost) -> None:
    """A tool's result is read by the model that asked for it; the turn has used both calls."""
    call = {"id": "a", "function": {"name": "find", "arguments": "{}"}}
    host.status = 500
    other.script = [(200, [sse(chunk({"tool_calls": [call]}, "tool_calls"))]), (200, [text_chunk("Found")])]
    hf = replace(HF, capabilities={"supports_tools": True})
    conversation = _exchange(ROUTE, hf, options=Options(tools=(TOOL,)))
    events, _ = await _events_of(conversation)
    assert events[0] == RouteChosen(hf)
    assert ToolCall("a", "find", {}) in events
    asked = len(host.received)
    second, _ = await _events_of(conversation)
    assert second[0] == Text("Found")
    assert len(host.received) == asked
    assert conversation.usage.output_tokens > 5


@pytest.mark.parametrize("capabilities", [{}, {"supports_tools": False}])
async def test_tools_are_offered_only_to_models_that_can_use_them(
    host: OpenAiHost, capabilities: dict[str, bool]
) -> None:
    """A call that was not offered is a stranger's text and goes no further."""
    call = {"id": "a", "function": {"name": "find", "arguments": "{}"}}
    host.pieces = [sse(chunk({"content": "Hm"}), chunk({"tool_calls": [call]}, "tool_calls"))]
    conversation = _exchange(replace(ROUTE, capabilities=capabilities), options=Options(tools=(TOOL,)))
    events, _ = await _events_of(conversation)
    assert events[1:] == [Text("Hm"), Finish("stop")]
    assert "tools" not in host.received[0].json()


async def test_sampling_is_left_out_where_it_is_refused(host: OpenAiHost) -> None:
    """Some models answer a temperature with 400."""
    host.pieces = [text_chunk("Hello")]
    route = replace(ROUTE, capabilities={"supports_temperature": False})
    await _events_of(_exchange(route, options=Options(temperature=0.5)))
    assert "temperature" not in host.received[0].json()


@pytest.mark.parametrize("can", [True, False])
async def test_a_schema_goes_to_models_that_keep_to_one_and_into_words_for_others(host: OpenAiHost, can: bool) -> None:
    """Every model gets the schema of its answer."""
    host.pieces = [text_chunk("{}")]
    schema = {"type": "object", "title": "Verdict"}
    route = replace(ROUTE, capabilities={"supports_json": can})
    await _events_of(_exchange(route, options=Options(output_schema=schema)))
    body = host.received[0].json()
    assert ("response_format" in body) is can
    assert ("Verdict" in body["messages"][0]["content"]) is not can
