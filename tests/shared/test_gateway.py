"""A model session: the calls it makes and the attempts it records."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest

from shared import gateway
from shared.errors import (
    AnswerCut,
    ProviderOverloaded,
)
from shared.events import Finish, ModelEvent, Text, Usage
from shared.messages import ModelRequest
from shared.model_request import Options
from shared.routes import Route, RouteChosen
from tests.fakes.openai import OpenAiHost, chunk, sse, text_chunk
from tests.shared.model_sessions import MESSAGES, ROUTE, events_of, only_attempt, session_over

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_backoff")]


async def test_a_model_is_asked_as_the_route_says(host: OpenAiHost) -> None:
    """The request has the upstream id, the messages and the limits; the attempt is recorded as successful."""
    host.pieces = [text_chunk("Hello")]
    session = session_over(options=Options(temperature=0.5))
    events, error = await events_of(session)
    assert error is None
    assert events == [RouteChosen(ROUTE), Text("Hello"), Usage(10, 5), Finish("stop")]
    body = host.received[0].json()
    assert (body["model"], body["max_completion_tokens"], body["temperature"]) == ("gpt-4o", 77, 0.5)
    assert [message["content"] for message in body["messages"]] == ["Be kind.", "Hi"]
    attempt = only_attempt(session)
    assert (attempt.identifier, attempt.provider_key, attempt.ok, attempt.error_code) == (
        "openai:gpt-4o",
        "openai",
        True,
        None,
    )
    assert attempt.ms >= 0


async def test_a_node_is_asked_at_its_own_address(host: OpenAiHost) -> None:
    """The route has the node's address, and the attempt has the node's circuit."""
    host.pieces = [text_chunk("Hello")]
    route = Route("client:7:llama", "client", "llama", 10, node_id=7, base_url=host.url)
    session = session_over(route)
    assert (await events_of(session))[1] is None
    assert only_attempt(session).provider_key == "client:7"
    assert "temperature" not in host.received[0].json()


async def test_a_failure_is_recorded_with_what_the_circuit_needs(
    host: OpenAiHost, environ: Callable[..., None]
) -> None:
    """The attempt has the code, the upstream status and the pause that the provider asks for."""
    environ(TURN_SECONDS="10")
    host.status, host.headers = 429, {"Retry-After": "7"}
    session = session_over()
    events, error = await events_of(session)
    assert (events, type(error)) == ([], ProviderOverloaded)
    assert len(session.attempts) == 1  # seven seconds do not fit into ten
    attempt = only_attempt(session)
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
    session = session_over()
    events, error = await events_of(session)
    assert events == [RouteChosen(ROUTE), Text("Hel"), Finish("truncated")]
    assert type(error) is AnswerCut
    assert not only_attempt(session).ok


async def test_a_bug_in_the_middle_of_an_answer_is_a_failed_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that is none of our errors is recorded as `internal_error`, after the text that was sent."""

    class Broken:
        async def stream(self, _request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            yield Text("Hel")
            raise RuntimeError

    async def provider_named(*_: object) -> Broken:
        return Broken()

    monkeypatch.setattr(gateway, "provider_named", provider_named)
    session = session_over()
    events = session.events(MESSAGES)
    assert [await anext(events), await anext(events)] == [RouteChosen(ROUTE), Text("Hel")]
    with pytest.raises(RuntimeError):
        await anext(events)
    attempt = only_attempt(session)
    assert (attempt.ok, attempt.error_code) == (False, "internal_error")
