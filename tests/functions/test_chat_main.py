"""chat from request to last frame, with a model and a project on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from functions.chat.main import ROUTES
from shared import admission, auth
from shared.endpoint import respond
from tests.asgi import Caller, call
from tests.fakes.openai import OpenAiHost, serving_models, text_chunk
from tests.fakes.supabase import Project
from tests.functions.turns import frames

pytestmark = pytest.mark.anyio
ADMITTED: dict[str, Any] = {
    "outcome": "admitted",
    "turn_id": "turn-1",
    "conversation_id": "conversation-1",
    "reason": "asked",
    "routes": [
        {
            "identifier": "openai:gpt-4o",
            "provider": "openai",
            "upstream_id": "gpt-4o",
            "max_output_tokens": 9,
            "pricing": {},
        }
    ],
    "input_tokens_estimate": 12,
    "reserve_usd": 0.001,
    "least_usd": 0.0001,
}


@pytest.fixture
async def model(
    project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[OpenAiHost]:
    """A model that says Hello, beside a project that admits and books everything."""
    monkeypatch.setattr(auth, "verifier", auth.Verifier())
    project.answers |= {
        "/rest/v1/rpc/chat_begin": (200, ADMITTED),
        "/rest/v1/rpc/chat_finish": (200, {"outcome": "settled", "cost_usd": 0.002, "message_id": "message-1"}),
    }
    async with serving_models() as running:
        running.pieces = [text_chunk("Hello")]
        environ(OPENAI_BASE_URL=running.url, OPENAI_API_KEY="sk-ours", CORS_ORIGINS="https://app.example")
        yield running


async def _ask(project: Project, path: str = "/", token: str | None = None, body: Any = None, **headers: str) -> Caller:
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {token or project.token()}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    raw = json.dumps({"message": "Hi"} if body is None else body).encode()
    return await call(lambda request: respond(request, ROUTES), "POST", path, sent, [raw])


@pytest.mark.parametrize("path", ["/", "/chat", "/chat/stream", "/ai/chat"])
async def test_a_turn_streams_by_default_at_every_alias(model: OpenAiHost, project: Project, path: str) -> None:
    """All paths accept the body of `useChat` and stream."""
    got = await _ask(project, path, origin="https://app.example")
    assert (got.status, got.headers["access-control-allow-origin"]) == (200, "https://app.example")
    values = frames(got.body)
    assert "".join(v["delta"] for v in values[:-1] if v["type"] == "text-delta") == "Hello"
    assert values[-1] == "[DONE]"
    assert len(model.received) == 1
    assert [each.path.rsplit("/", 1)[-1] for each in project.asked] == ["chat_begin", "chat_finish"]


async def test_a_turn_may_be_one_object(model: OpenAiHost, project: Project) -> None:
    """With `stream: false` the response is one JSON object at the end."""
    got = await _ask(project, body={"message": "Hi", "stream": False})
    assert (got.status, got.json()["message"]["content"], got.json()["cost_usd"]) == (200, "Hello", 0.002)
    assert got.headers["x-model"] == "openai:gpt-4o"
    assert model.received


@pytest.mark.parametrize(
    ("path", "streams"),
    [("/", False), ("/chat", False), ("/ai/chat", False), ("/chat/stream", True), ("/chat/stream/", True)],
)
async def test_the_streaming_alias_always_streams(
    model: OpenAiHost, project: Project, path: str, *, streams: bool
) -> None:
    """`/chat/stream` streams whatever the body says; the other paths follow the body."""
    got = await _ask(project, path, body={"message": "Hi", "stream": False})
    assert got.headers["content-type"].startswith("text/event-stream") is streams
    assert model.received


async def test_a_dry_run_asks_no_model_and_books_nothing(model: OpenAiHost, project: Project) -> None:
    """A dry run is one call of chat_begin."""
    got = await _ask(project, body={"message": "Hi", "dry_run": True})
    assert got.json()["route"]["identifier"] == "openai:gpt-4o"
    assert model.received == []
    assert len(project.asked) == 1


async def test_the_same_key_again_gives_the_stored_answer(model: OpenAiHost, project: Project) -> None:
    """The replay calls no model and has its header."""
    stored = {"outcome": "replay", "log": {"cost_usd": 0.002}, "message": {"id": "message-1", "content": "Hello"}}
    project.answers["/rest/v1/rpc/chat_begin"] = (200, ADMITTED | stored)
    got = await _ask(project, body={"message": "Hi", "stream": False}, idempotency_key="key-1")
    assert (got.headers["idempotent-replayed"], got.json()["message"]["content"]) == ("true", "Hello")
    assert model.received == []
    assert project.asked_of("chat_finish") == []


@pytest.mark.parametrize("token", ["sb_publishable_x", "e30.e30.e30", " "])
async def test_a_stranger_reaches_neither_database_nor_model(model: OpenAiHost, project: Project, token: str) -> None:
    """Without an access token the response is 401 before the body is read."""
    got = await _ask(project, token=token, body={"nonsense": True})
    assert (got.status, got.taken) == (401, 0)
    assert project.asked == []
    assert model.received == []


@pytest.mark.parametrize(
    ("body", "status"), [({}, 422), ([], 422), ({"message": "Hi", "stream": 1}, 422), ({"message": "\x00"}, 400)]
)
async def test_a_body_that_is_no_turn_reaches_no_database(
    model: OpenAiHost, project: Project, body: Any, status: int
) -> None:
    """An invalid body is 422 before chat_begin."""
    assert (await _ask(project, body=body)).status == status
    assert project.asked == []
    assert model.received == []


async def test_a_refusal_of_the_ledger_is_the_answer(model: OpenAiHost, project: Project) -> None:
    """A user over the cap gets the error in OpenAI's format, and no model is called."""
    details = json.dumps({"code": "quota_exceeded", "metadata": {"retry_after": 60, "limit": 5}})
    project.answers["/rest/v1/rpc/chat_begin"] = (429, {"code": "PT429", "message": "Enough.", "details": details})
    got = await _ask(project)
    assert (got.status, got.headers["retry-after"], got.headers["x-should-retry"]) == (429, "60", "false")
    assert got.json()["error"]["metadata"] == {"limit": 5}
    assert model.received == []


async def test_a_model_that_fails_at_once_is_a_status(model: OpenAiHost, project: Project) -> None:
    """The turn is booked as failed, and the error has limit headers."""
    model.status = 500
    got = await _ask(project)
    assert (got.status, got.headers["x-model"]) == (502, "openai:gpt-4o")
    assert project.asked_of("chat_finish")[0]["entry"]["status"] == "failed"


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_what_has_no_effect_is_named(model: OpenAiHost, project: Project, is_streamed: bool) -> None:
    """Unknown fields, parameters and stop sequences that the model does not take are left out and named."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "stream": is_streamed}
    body |= {"top_p": 0.5, "top_k": 3, "reasoning_effort": "low", "stop": ["a", "b", "c", "d", "e"], "num ctx": 1}
    got = await _ask(project, "/v1/chat/completions", body=body)
    assert got.status == 200
    assert got.headers["x-ignored-params"] == "num%20ctx, top_k, reasoning_effort, stop.4"
    sent = model.received[0].json()
    assert (sent["top_p"], sent["stop"]) == (0.5, ["a", "b", "c", "d"])
    assert not {"top_k", "reasoning_effort", "num ctx"} & set(sent)


async def test_what_has_an_effect_is_not_named(model: OpenAiHost, project: Project) -> None:
    """Without anything to name there is no header."""
    got = await _ask(project, body={"message": "Hi", "temperature": 0.5, "tools": {}, "metadata": {"a": 1}})
    assert (got.status, "x-ignored-params" in got.headers) == (200, False)
    assert model.received[0].json()["temperature"] == 0.5


def _running(**metadata: Any) -> tuple[int, dict[str, Any]]:
    details = json.dumps({"code": "turn_in_progress", "metadata": {"retry_after": 5, **metadata}})
    return 409, {"code": "PT409", "message": "Another turn is running.", "details": details}


@pytest.mark.parametrize(("yours", "calls"), [(True, 4), (False, 1)])
async def test_a_turn_waits_for_the_end_of_the_users_own(
    model: OpenAiHost, project: Project, monkeypatch: pytest.MonkeyPatch, yours: bool, calls: int
) -> None:
    """It asks three times more; another member's turn is 409 at once."""
    monkeypatch.setattr(admission, "_PAUSES", (0.0, 0.0, 0.0))
    project.answers["/rest/v1/rpc/chat_begin"] = _running(yours=yours)
    assert (await _ask(project)).status == 409
    assert len(project.asked_of("chat_begin")) == calls
    assert model.received == []


async def test_a_stop_and_the_next_question_may_come_together(
    model: OpenAiHost, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question is answered when the stopped turn has ended."""

    def pauses() -> Iterator[float]:
        project.answers["/rest/v1/rpc/chat_begin"] = (200, ADMITTED)
        yield 0.0

    monkeypatch.setattr(admission, "_PAUSES", pauses())
    project.answers["/rest/v1/rpc/chat_begin"] = _running(yours=True)
    got = await _ask(project)
    assert (got.status, len(project.asked_of("chat_begin")), len(model.received)) == (200, 2, 1)
