"""Repeated calls, further routes and open circuits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared import gateway
from shared.errors import (
    BudgetExceeded,
    NodeFailed,
    NotConfigured,
    ParleyError,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
)
from shared.events import Finish, Reasoning, Text
from shared.gateway import ModelSession
from shared.messages import ToolCall
from shared.model_request import Options
from shared.routes import Route, RouteChosen
from shared.token_bounds import token_upper_bound
from tests.fakes.openai import OpenAiHost, chunk, sse, text_chunk
from tests.shared.model_sessions import HF, MESSAGES, NODE, ROUTE, TOOL, USED, events_of, only_attempt, session_over

OTHER_MODEL = replace(ROUTE, identifier="openai:other", upstream_id="other")

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_backoff")]


@pytest.mark.parametrize(("is_counted", "has_money"), [(True, True), (True, False), (False, False)])
async def test_another_call_is_held_for_when_the_failed_one_is_charged(
    host: OpenAiHost, monkeypatch: pytest.MonkeyPatch, is_counted: bool, has_money: bool
) -> None:
    """If the budget does not cover it, the turn ends with the error; a free call needs no reservation."""
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}}
    host.pieces, host.ending = [sse(usage)] if is_counted else [], "hold"
    monkeypatch.setattr(gateway, "HEADER_SECONDS", 0.2)
    monkeypatch.setattr(gateway, "FIRST_CONTENT_SECONDS", 0.2)
    held: list[int] = []

    async def hold(tokens: int) -> None:
        held.append(tokens)
        if not has_money:
            raise BudgetExceeded("There is none.")

    session = ModelSession((ROUTE, OTHER_MODEL), Options(), time.monotonic(), hold)
    _, error = await events_of(session)
    assert type(error) is ProviderTimeout
    assert held == ([token_upper_bound(MESSAGES, ())] if is_counted else [])
    assert len(session.attempts) == (1 if is_counted and not has_money else 2)


async def test_a_provider_whose_circuit_is_open_is_not_asked(host: OpenAiHost) -> None:
    """The next route is called without waiting."""
    route = replace(ROUTE, open_until="2026-11-21T05:00:00+00:00")
    session = session_over(route)
    events, error = await events_of(session)
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
    session = session_over(route)
    assert type((await events_of(session))[1]) is kind
    assert not only_attempt(session).ok
    assert host.received == []


async def test_a_failed_call_is_repeated_and_only_the_good_answer_is_sent(host: OpenAiHost) -> None:
    """One answer, two attempts, the first free of charge."""
    host.script = [(500, []), (200, [text_chunk("Hello")])]
    session = session_over()
    events, error = await events_of(session)
    assert (events, error) == ([RouteChosen(ROUTE), Text("Hello"), USED, Finish("stop")], None)
    assert [(a.ok, a.error_code, a.usage) for a in session.attempts] == [
        (False, "provider_error", None),
        (True, None, USED),
    ]
    assert session.usage == USED


async def test_what_a_failed_call_counted_is_not_mixed_into_the_good_one(host: OpenAiHost) -> None:
    """Usage before an announced overload belongs to that call, and it is not charged."""
    counted = {"choices": [], "usage": {"prompt_tokens": 999, "completion_tokens": 999}}
    silent = sse(chunk({"content": "Hello"}), chunk({}, "stop"))
    host.script = [(200, [sse(counted, {"error": "busy"})]), (200, [silent])]
    session = session_over()
    assert (await events_of(session))[0] == [RouteChosen(ROUTE), Text("Hello"), Finish("stop")]
    assert session.usage.source == "estimate"
    assert session.usage.input_tokens < 999


async def test_the_next_route_serves_when_the_first_is_down(host: OpenAiHost, other: OpenAiHost) -> None:
    """RouteChosen names the route that answers."""
    host.status, other.pieces = 500, [text_chunk("Hello")]
    session = session_over(ROUTE, HF)
    events, error = await events_of(session)
    assert (events[0], error) == (RouteChosen(HF), None)
    assert session.route == HF
    assert [a.provider_key for a in session.attempts] == ["openai", "openai", "huggingface"]
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
    session = session_over(ROUTE, HF)
    events, error = await events_of(session)
    assert isinstance(error, ProviderError)
    assert [e for e in events if isinstance(e, Text | Reasoning)] in ([Text("Hel")], [Reasoning("Hm")])
    assert (len(host.received), other.received) == (1, [])
    attempt = only_attempt(session)
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
    session = session_over(ROUTE, HF)
    events, error = await events_of(session)
    assert (Text("Hello") in events, error) == (True, None)
    assert [(attempt.ok, attempt.error_code) for attempt in session.attempts] == [(False, code), (True, None)]
    assert session.attempts[0].open_seconds == (300 if code == "provider_auth_failed" else None)
    assert session.attempts[0].is_fault is (code == "model_unavailable")
    alert = json.loads(capsys.readouterr().out)
    assert (alert["event"], alert["provider"], alert["model"]) == ("alert", "openai", ROUTE.identifier)
    assert (alert["error"], alert["upstream_status"]) == (code, status)


async def test_a_page_that_refuses_a_prompt_is_no_fault(
    host: OpenAiHost, other: OpenAiHost, capsys: pytest.CaptureFixture[str]
) -> None:
    """A 403 page does not count for the circuit, and the next route answers."""
    host.status, host.headers, other.pieces = 403, {"Content-Type": "text/html; charset=utf-8"}, [text_chunk("Hello")]
    session = session_over(ROUTE, HF)
    assert (await events_of(session))[1] is None
    refused = session.attempts[0]
    assert (refused.error_code, refused.is_fault, refused.open_seconds) == ("provider_refused", False, None)
    assert capsys.readouterr().out == ""


async def test_a_route_without_a_key_or_with_an_open_circuit_is_passed_over(
    other: OpenAiHost, environ: Callable[..., None]
) -> None:
    """Both are attempts in the row, but do not count as calls."""
    environ(OPENAI_API_KEY="")
    other.pieces = [text_chunk("Hello")]
    until = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    session = session_over(replace(ROUTE, open_until=until), ROUTE, HF)
    events, error = await events_of(session)
    assert (events[0], error) == (RouteChosen(HF), None)
    assert [a.error_code for a in session.attempts] == ["provider_unavailable", "not_configured", None]


async def test_an_open_circuit_says_when_to_come_back(host: OpenAiHost) -> None:
    """Retry-After ends with the open circuit."""
    until = (datetime.now(UTC) + timedelta(seconds=200)).isoformat()
    _, error = await events_of(session_over(replace(ROUTE, open_until=until)))
    assert error is not None
    assert error.retry_after_seconds is not None
    assert 150 < error.retry_after_seconds <= 200
    assert host.received == []


@pytest.mark.parametrize("failing", ["refused", "silent", "cut", "early", "nonsense", "endless"])
async def test_a_node_fails_in_one_way_only(host: OpenAiHost, failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Message, code and attempt do not disclose the cause, and the node is called once."""
    monkeypatch.setattr(gateway, "FIRST_CONTENT_SECONDS", 0.05 if failing == "silent" else 20)
    route = replace(NODE, base_url=NODE.base_url if failing == "refused" else host.url)
    host.pieces = {"cut": [sse(chunk({"content": "Hel"}))], "nonsense": [b"data: x\n\n"]}.get(failing, [])
    if failing == "endless":
        host.pieces = [sse(*[chunk({"content": "x" * 1000})] * 50)]
    host.ending = "hold" if failing == "silent" else "cut" if failing == "cut" else "clean"
    session = session_over(route)
    error = (await events_of(session))[1]
    assert type(error) is NodeFailed
    assert str(error) == str(NodeFailed())
    attempt = only_attempt(session)
    assert (attempt.error_code, attempt.upstream_status) == ("node_failed", None)


async def test_a_second_call_goes_on_where_the_first_was_served(host: OpenAiHost, other: OpenAiHost) -> None:
    """The model that called the tool gets its result; the usage includes both calls."""
    call = {"id": "a", "function": {"name": "find", "arguments": "{}"}}
    host.status = 500
    other.script = [(200, [sse(chunk({"tool_calls": [call]}, "tool_calls"))]), (200, [text_chunk("Found")])]
    hf = replace(HF, capabilities={"supports_tools": True})
    session = session_over(ROUTE, hf, options=Options(tools=(TOOL,)))
    events, _ = await events_of(session)
    assert events[0] == RouteChosen(hf)
    assert ToolCall("a", "find", {}) in events
    asked = len(host.received)
    second, _ = await events_of(session)
    assert second[0] == Text("Found")
    assert len(host.received) == asked
    assert session.usage.output_tokens > 5
