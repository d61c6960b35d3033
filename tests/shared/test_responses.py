"""The responses of a turn, with a client that reads or disconnects."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

import anyio
import pytest
from starlette.responses import Response
from starlette.types import Message

from functions.chat.streams.json_answer import TurnJson, whole_answer
from functions.chat.streams.ui import UiStream
from shared import responses as module
from shared.errors import ProviderOverloaded
from shared.events import Text
from shared.responses import StreamResponse, WholeResponse
from shared.routes import RouteChosen
from shared.run_turn import Failure
from shared.sse import PING
from tests.asgi import Caller
from tests.functions.turns import ENTRY, RECEIPT, ROUTE, TURN, frames
from tests.shared.turn_events import Script, Words

pytestmark = pytest.mark.anyio
OVERLOADED = Failure(ProviderOverloaded("The provider openai is overloaded.", retry_after_seconds=7))
HEADERS = {"X-Request-Id": "request-1", "Access-Control-Allow-Origin": "https://a.example"}
SCOPE = {"type": "http"}
OTHER = replace(ROUTE, identifier="anthropic:claude")
ROUTED = replace(TURN, routes=(ROUTE, OTHER))
_STEPS = 20  # of the event loop: more than any task needs for what is due
FAILED = replace(RECEIPT, result=replace(ENTRY, status="failed"))


@pytest.fixture
async def seconds_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Awaitable[None]]:
    """Lets seconds pass for the event loop without waiting for them; what is due in each is done before the next."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)

    async def settle() -> None:
        for _ in range(_STEPS):
            await anyio.lowlevel.checkpoint()

    async def pass_(seconds: int) -> None:
        nonlocal now
        await settle()
        for _ in range(seconds):
            now += 1
            await settle()

    return pass_


def _types(caller: Caller) -> list[str]:
    return [value if isinstance(value, str) else value["type"] for value in frames(caller.body)]


def _with_headers(response: Response) -> Response:
    """The response with the headers that the endpoint adds."""
    response.headers.update(HEADERS)
    return response


async def _streamed(script: Script | Words, caller: Caller | None = None) -> Caller:
    caller = caller or Caller()
    await _with_headers(StreamResponse(ROUTED, script.events(), UiStream(TURN), math.inf))(
        SCOPE, caller.receive, caller.send
    )
    return caller


async def _whole(script: Script, caller: Caller | None = None) -> Caller:
    caller = caller or Caller()
    await _with_headers(WholeResponse(ROUTED, script.events(), TurnJson(), math.inf))(
        SCOPE, caller.receive, caller.send
    )
    return caller


async def test_a_stream_is_sent_as_it_comes() -> None:
    """Headers, first frames, text and end are sent at once, each event in a message of its own."""
    got = await _streamed(Script(Text("Hel"), Text("lo"), RECEIPT))
    assert (got.status, got.is_complete) == (200, True)
    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert got.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert got.headers["cache-control"] == "no-cache, no-transform"
    assert got.headers["x-accel-buffering"] == "no"
    assert got.headers["x-model"] == "openai:gpt-4o"
    assert "content-length" not in got.headers
    assert _types(got) == [
        "start",
        "start-step",
        "text-start",
        "text-delta",
        "text-delta",
        "text-end",
        "finish-step",
        "data-receipt",
        "finish",
        "[DONE]",
    ]
    assert b"lo" not in got.sent[2]["body"]


@pytest.mark.parametrize("send", [_streamed, _whole])
async def test_text_that_cannot_be_encoded_is_sent(send: Callable[[Script], Awaitable[Caller]]) -> None:
    """A lone surrogate is replaced, and the rest of the answer is sent."""
    got = await send(Script(Text("Hel\ud83d"), replace(RECEIPT, result=replace(ENTRY, content="Hel\ud83d"))))
    assert (got.status, got.is_complete) == (200, True)
    assert b"Hel" in got.body


@pytest.mark.parametrize("send", [_streamed, _whole])
async def test_a_turn_that_fails_at_once_is_an_http_status(send: Callable[[Script], Awaitable[Caller]]) -> None:
    """Before the first byte an error is a status; it has the headers of the endpoint and of the turn."""
    got = await send(Script(OVERLOADED, FAILED))
    assert (got.status, got.json()["error"]["code"]) == (503, "provider_overloaded")
    assert got.json()["error"]["request_id"] == "request-1"
    assert got.headers["retry-after"] == "7"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["access-control-allow-origin"] == "https://a.example"
    assert got.headers["x-request-id"] == "request-1"
    assert int(got.headers["content-length"]) == len(got.body)
    assert "x-accel-buffering" not in got.headers
    assert got.is_complete


async def test_a_turn_that_fails_later_is_an_error_event() -> None:
    """The stream has the error and ends properly."""
    got = await _streamed(Script(Text("Hel"), OVERLOADED, RECEIPT))
    assert got.status == 200
    assert _types(got)[-5:] == ["finish-step", "data-receipt", "error", "finish", "[DONE]"]
    assert got.is_complete


async def test_a_slow_model_gets_its_stream_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """After three seconds without content the stream starts; a later failure is an event."""
    monkeypatch.setattr(module, "START_AFTER_SECONDS", 0)
    script, caller = Script(None, OVERLOADED, RECEIPT), Caller()

    def go_on_after_the_first_frames(message: Message) -> None:
        if message["type"] == "http.response.body":
            script.go_on.set()

    caller.on_send = go_on_after_the_first_frames
    await _streamed(script, caller)
    assert (caller.status, caller.is_complete) == (200, True)
    assert _types(caller) == ["start", "start-step", "finish-step", "data-receipt", "error", "finish", "[DONE]"]


async def test_first_word_and_slow_start_do_not_get_in_each_others_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """If both happen at once, the response starts once, before any frame."""
    monkeypatch.setattr(module, "START_AFTER_SECONDS", 0)
    script, caller = Script(None, Text("Hel"), RECEIPT), Caller()

    def go_on_while_starting(message: Message) -> None:
        if message["type"] == "http.response.start":
            script.go_on.set()

    caller.on_send = go_on_while_starting
    await _streamed(script, caller)
    assert _types(caller)[:4] == ["start", "start-step", "text-start", "text-delta"]
    assert [message["type"] for message in caller.sent].count("http.response.start") == 1


async def test_a_silence_is_filled_with_pings(seconds_pass: Callable[[int], Awaitable[None]]) -> None:
    """No ping while words come; after the last one, a ping for each fifteen seconds of silence."""
    words, caller = Words(), Caller()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_streamed, words, caller)
        for _ in range(5):
            words.give(Text("Hel"))
            await seconds_pass(10)
        assert (_types(caller).count("text-delta"), caller.body.count(PING)) == (5, 0)
        await seconds_pass(4)
        assert caller.body.count(PING) == 0
        await seconds_pass(1)
        assert caller.body.count(PING) == 1
        await seconds_pass(25)
        assert caller.body.count(PING) == 2
        words.give(RECEIPT)
    assert _types(caller)[-1] == "[DONE]"
    assert caller.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


@pytest.mark.parametrize("send", [_streamed, _whole])
async def test_a_caller_who_hangs_up_ends_the_turn(
    send: Callable[[Script, Caller], Coroutine[None, None, Caller]],
) -> None:
    """The events are closed, and nothing more is sent."""
    script, caller = Script(Text("Hel"), None, RECEIPT), Caller()
    task = asyncio.create_task(send(script, caller))
    await asyncio.sleep(0)
    caller.gone.set()
    await asyncio.wait_for(task, 10)
    assert script.ended == "left"
    assert not caller.is_complete
    assert "[DONE]" not in _types(caller)


@pytest.mark.parametrize("response", [StreamResponse, WholeResponse])
async def test_a_caller_who_reads_nothing_does_not_outlive_the_deadline(
    response: type[StreamResponse | WholeResponse], seconds_pass: Callable[[int], Awaitable[None]]
) -> None:
    """A write that cannot go out, and a turn that does not end, are left soon after the turn's time."""
    script, caller = Script(Text("Hel"), None, RECEIPT), Caller()

    async def send(_message: Message) -> None:
        await asyncio.Event().wait()

    deadline = asyncio.get_running_loop().time() + 10
    encoder: Any = UiStream(TURN) if response is StreamResponse else TurnJson()
    task = asyncio.create_task(response(ROUTED, script.events(), encoder, deadline)(SCOPE, caller.receive, send))
    await seconds_pass(14)
    assert not task.done()
    await seconds_pass(2)
    assert script.ended == "left"
    await seconds_pass(5)
    assert task.done()
    await task


@pytest.mark.parametrize("response", [StreamResponse, WholeResponse])
async def test_a_caller_who_waits_past_the_deadline_gets_an_error(
    response: type[StreamResponse | WholeResponse],
    seconds_pass: Callable[[int], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A turn that hangs before its first content is 504, with the headers of the endpoint."""
    monkeypatch.setattr(module, "START_AFTER_SECONDS", 100.0)
    script, caller = Script(None, RECEIPT), Caller()
    encoder: Any = UiStream(TURN) if response is StreamResponse else TurnJson()
    made = _with_headers(response(ROUTED, script.events(), encoder, asyncio.get_running_loop().time() + 10))
    task = asyncio.create_task(made(SCOPE, caller.receive, caller.send))
    await seconds_pass(16)
    await task
    assert (caller.status, script.ended) == (504, "left")
    assert b'"turn_timeout"' in caller.body
    assert caller.headers["x-request-id"] == "request-1"


async def test_a_whole_answer_is_sent_once_it_is_booked() -> None:
    """One JSON object with the turn's headers."""
    got = await _whole(Script(Text("Hel"), Text("lo"), RECEIPT))
    assert (got.status, got.json()) == (200, whole_answer(RECEIPT))
    assert got.headers["content-type"] == "application/json"
    assert got.headers["x-model"] == "openai:gpt-4o"
    assert int(got.headers["content-length"]) == len(got.body)


async def test_a_whole_answer_that_breaks_off_is_an_error() -> None:
    """Half an answer is not sent as if it were one."""
    got = await _whole(Script(Text("Hel"), OVERLOADED, RECEIPT))
    assert (got.status, got.json()["error"]["code"]) == (503, "provider_overloaded")


ELSEWHERE = replace(RECEIPT, result=replace(ENTRY, route=OTHER, turn=ROUTED))


@pytest.mark.parametrize("send", [_streamed, _whole])
async def test_who_served_stands_in_the_headers(send: Callable[[Script], Awaitable[Caller]]) -> None:
    """The headers name the answering fallback, or after a failure the last route."""
    got = await send(Script(RouteChosen(OTHER), Text("Hello"), ELSEWHERE))
    assert (got.headers["x-model"], got.headers["x-fallbacks"]) == ("anthropic:claude", "1")
    failed = await send(Script(OVERLOADED, ELSEWHERE))
    assert failed.status == 503
    assert (failed.headers["x-model"], failed.headers["x-fallbacks"]) == ("anthropic:claude", "1")


async def test_a_fallback_after_the_first_byte_is_left_to_the_receipt() -> None:
    """Headers that were sent are not changed."""
    script = Script(Text("Hel"), RouteChosen(OTHER), ELSEWHERE)
    assert (await _streamed(script)).headers["x-model"] == "openai:gpt-4o"
