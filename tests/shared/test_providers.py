"""Every provider through the gateway and its official SDK, against the scripted model server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.events import Finish
from shared.messages import Message, Tool, ToolCall
from shared.providers import SDKS
from tests.fakes.providers import HOSTILE_SANITISED, Upstream
from tests.providers import (
    KEYS,
    PROVIDERS,
    QUESTION,
    STREAMING,
    events_of,
    route_to,
    session_over,
    text_of,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("configured")]
TOOLS = (
    Tool("find", "Finds", {"type": "object", "properties": {"query": {"type": "string"}}}),
    Tool("count", "Counts", {"type": "object", "properties": {"query": {"type": "string"}}}),
)


@pytest.mark.parametrize("name", STREAMING)
async def test_tool_calls_and_results_work_with_every_provider(name: str, upstream: Upstream) -> None:
    """Parallel calls arrive whole; their results are sent back with the provider's own payload."""
    session = session_over(route_to(name, "tools", upstream), tools=TOOLS)
    events, error = await events_of(session)
    assert error is None
    calls = tuple(event for event in events if isinstance(event, ToolCall))
    assert [(call.name, call.arguments["query"]) for call in calls] == [
        ("find", "one two three"),
        ("count", "one two three"),
    ]
    assert calls[0].arguments["note"] == 'zwei \u2014 "drei"'
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.reason == "tool_calls"
    message = Message("assistant", text_of(events), calls, finish.native)
    results = tuple(Message("tool", f"{call.name} 42", tool_call_id=call.id) for call in calls)
    answer, error = await events_of(session, (*QUESTION, message, *results))
    assert error is None
    assert "42" in text_of(answer)
    assert [attempt.ok for attempt in session.attempts] == [True, True]
    assert (finish.native is not None) is (name in SDKS)


@pytest.mark.parametrize("name", STREAMING)
async def test_a_tool_call_of_another_provider_can_be_continued(name: str, upstream: Upstream) -> None:
    """A conversation moves to another provider without the first one's payload."""
    call = ToolCall("call_1", "find", {"query": "x"})
    message = Message("assistant", "Let me check.", (call,))
    failed = Message("tool", "no such thing", tool_call_id="call_1", is_error=True)
    session = session_over(route_to(name, "echo", upstream, upstream_id="gemini-3-echo"), tools=TOOLS)
    events, error = await events_of(session, (*QUESTION, message, failed))
    assert error is None
    assert "no such thing" in text_of(events)


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_provider_gets_its_own_key_only(name: str, upstream: Upstream) -> None:
    """No header and no body has a user token, a cookie, a Supabase key or the key of another provider."""
    route = route_to(name, "echo", upstream)
    await events_of(session_over(route))
    (received,) = [each for each in upstream.received if route.upstream_id in (each.model, str(_llm_id(each.body)))]
    sent = json.dumps(received.headers) + json.dumps(received.body)
    own = [key for key in KEYS.values() if key in sent]
    assert own == ([] if name == "client" else [f"key-of-{name}"])
    assert not {"cookie", "apikey", "x-request-id", "x-forwarded-for"} & set(received.headers)
    if name == "anthropic":
        assert received.headers["authorization"] == "Bearer key-of-anthropic"


def _llm_id(body: Any) -> Any:
    return body.get("llm_id") if isinstance(body, dict) else None


@pytest.mark.parametrize("name", STREAMING)
async def test_hostile_text_arrives_as_text(name: str, upstream: Upstream) -> None:
    """Line ends of every kind, frames and split emoji arrive as text that can be encoded."""
    events, error = await events_of(session_over(route_to(name, "hostile", upstream)))
    assert error is None
    assert text_of(events) == HOSTILE_SANITISED


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize(
    ("kind", "reason"), [("filtered", "filtered"), ("promptblock", "filtered"), ("length", "length")]
)
async def test_stop_reasons_are_the_same_for_every_provider(
    name: str, kind: str, reason: str, upstream: Upstream
) -> None:
    """A blocked or long answer is an answer, not a failure."""
    events, error = await events_of(session_over(route_to(name, kind, upstream)))
    assert error is None
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == reason


@pytest.mark.parametrize("name", STREAMING)
async def test_an_empty_answer_is_asked_for_again(name: str, upstream: Upstream) -> None:
    """An end without text, reasoning or a call is a failure that no prompt can count against the model."""
    session = session_over(route_to(name, "empty", upstream))
    events, error = await events_of(session)
    assert (events, type(error).__name__) == ([], "NodeFailed" if name == "client" else "ProviderError")
    assert [attempt.is_fault for attempt in session.attempts] == [False] * (1 if name == "client" else 2)


@pytest.mark.parametrize("name", STREAMING)
async def test_a_temperature_is_sent_where_the_api_accepts_it(name: str, upstream: Upstream) -> None:
    """Claude rejects sampling parameters with 400, so they are left out."""
    route = route_to(name, "echo", upstream)
    _, error = await events_of(session_over(route, temperature=0.5))
    assert error is None
    (received,) = upstream.calls_of(route.upstream_id)
    assert ("0.5" in json.dumps(received.body)) is (name != "anthropic")
