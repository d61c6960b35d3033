"""One turn between a scripted model and a scripted ledger."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from functions.chat.agent_run import AgentRun
from functions.chat.request import ChatRequest
from shared.errors import (
    AnswerCut,
    ProviderError,
    ProviderOverloaded,
)
from shared.events import Finish, Reasoning, Text, Usage
from shared.messages import Message
from shared.routes import Route, RouteChosen
from shared.run_turn import Failure, TurnEvent, run_turn
from shared.tokens import estimate_tokens
from shared.turns import Receipt
from tests.fakes.openai import OpenAiHost, chunk, sse, text_chunk
from tests.fakes.supabase import Project
from tests.functions.agent_runs import FINISH, booked_in, events_of, model
from tests.functions.turns import ASKED, ROUTE, TURN, turn

__all__ = ["model"]  # a fixture

pytestmark = pytest.mark.anyio
EXTEND = "/rest/v1/rpc/chat_extend"
HALF = sse(chunk({"content": "Hel"}))


async def test_a_turn_is_answered_booked_and_has_a_receipt(model: OpenAiHost, project: Project) -> None:
    """The model gets prompt, history and question; the last event is the receipt."""
    model.pieces = [text_chunk("Hello")]
    history = (Message("user", "Earlier"), Message("assistant", "Yes"))
    events = await events_of(ChatRequest(message="Hi", agent="technical", temperature=0.5), history=history)
    assert events[:-1] == [RouteChosen(ROUTE), Text("Hello"), Usage(10, 5), Finish("stop")]
    receipt = events[-1]
    assert isinstance(receipt, Receipt)
    assert (receipt.cost_usd, receipt.message_id, receipt.logged) == (0.002, "message-1", True)
    body = model.received[0].json()
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    assert "engineer" in body["messages"][0]["content"]
    assert (body["messages"][-1]["content"], body["temperature"]) == ("Hi", 0.5)
    booked = booked_in(project)
    assert (booked["status"], booked["content"], booked["finish_reason"]) == ("completed", "Hello", "stop")
    assert (booked["agent_type"], booked["error_code"]) == ("technical", None)
    assert booked["usage"]["source"] == "provider"
    assert booked["ttft_ms"] <= booked["duration_ms"]
    assert [attempt["ok"] for attempt in booked["attempts"]] == [True]


@pytest.mark.parametrize(
    ("pieces", "status", "ending", "kind", "booked_as"),
    [
        ([], 429, "clean", ProviderOverloaded, "failed"),
        ([], 500, "clean", ProviderError, "failed"),
        ([], 200, "clean", ProviderError, "failed"),
        ([HALF], 200, "clean", AnswerCut, "partial"),
        ([HALF], 200, "cut", AnswerCut, "partial"),
        ([HALF, b"data: {broken\n\n"], 200, "clean", ProviderError, "partial"),
        ([HALF, sse({"error": {"message": "secret"}})], 200, "clean", ProviderOverloaded, "partial"),
    ],
    ids=["429", "500", "nothing", "early end", "cut", "malformed", "announced"],
)
async def test_a_turn_that_breaks_off_is_booked_with_what_came(
    model: OpenAiHost, project: Project, pieces: list[bytes], status: int, ending: Any, kind: type, booked_as: str
) -> None:
    """It is failed before content and partial after it; the events end with a Failure and the receipt."""
    model.pieces, model.status, model.ending = pieces, status, ending
    events = await events_of()
    failure, receipt = events[-2:]
    assert isinstance(failure, Failure)
    assert isinstance(receipt, Receipt)
    assert type(failure.error) is kind
    booked = booked_in(project)
    assert (booked["status"], booked["content"]) == (booked_as, "Hel" if pieces else "")
    assert booked["error_code"] == failure.error.code
    assert [attempt["ok"] for attempt in booked["attempts"]] == ([False] if pieces else [False, False])


@pytest.mark.parametrize("is_counted", [True, False])
async def test_a_partial_answer_is_charged_by_what_was_used(
    model: OpenAiHost, project: Project, is_counted: bool
) -> None:
    """Its usage is the provider's own counts, else an estimate, and is marked as either."""
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}
    model.pieces, model.ending = [HALF, sse(usage) if is_counted else b": ping\n\n"], "cut"
    await events_of()
    booked = booked_in(project)["usage"]
    if is_counted:
        assert (booked["input_tokens"], booked["output_tokens"], booked["source"]) == (7, 1, "partial")
    else:
        assert (booked["output_tokens"], booked["source"]) == (estimate_tokens("Hel"), "estimate")
        assert booked["input_tokens"] > 0


async def test_of_usage_the_latest_count_wins(model: OpenAiHost, project: Project) -> None:
    """Counts are cumulative and never added up."""
    counts = [{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": n}} for n in (1, 2, 3)]
    model.pieces = [HALF, sse(*counts, chunk({}, "stop"), "[DONE]")]
    await events_of()
    assert booked_in(project)["usage"]["output_tokens"] == 3


async def test_a_node_cannot_claim_more_than_was_reserved(
    model: OpenAiHost, project: Project, environ: Callable[..., None]
) -> None:
    """A provider's counts are accepted up to what its model holds; a node's are limited to the reservation."""
    environ(ALLOW_PRIVATE_NODES="1")
    model.pieces = [text_chunk("Hi", 90_000, 80_000_000)]
    await events_of()
    node = Route("client:7:llama", "client", "llama", 1000, node_id=7, base_url=model.url)
    await events_of(routes=(node,))
    ours, nodes = (each["entry"]["usage"] for each in project.asked_of("chat_finish"))
    assert (ours["input_tokens"], ours["output_tokens"]) == (90_000, 1000)
    assert 0 < nodes["input_tokens"] < 1000
    assert nodes["output_tokens"] == 1000


async def test_an_estimate_is_never_more_than_was_reserved(model: OpenAiHost, project: Project) -> None:
    """If a host counts nothing and exceeds max_tokens, the requested maximum is booked."""
    model.pieces = [sse(chunk({"content": "word " * 500}), chunk({}, "stop"))]
    await events_of(routes=(Route("openai:m", "openai", "m", 10),))
    assert (booked_in(project)["usage"]["output_tokens"], booked_in(project)["usage"]["source"]) == (10, "estimate")


async def test_thoughts_are_paid_for_but_not_kept(model: OpenAiHost, project: Project) -> None:
    """Reasoning is streamed, is content for the time limit and the estimate, and is not in the answer."""
    model.pieces = [sse(chunk({"reasoning_content": "well well well"}), chunk({"content": "Hi"}), chunk({}, "stop"))]
    assert (await events_of())[1:3] == [Reasoning("well well well"), Text("Hi")]
    booked = booked_in(project)
    assert booked["content"] == "Hi"
    assert booked["usage"]["output_tokens"] == estimate_tokens("Hiwell well well")
    assert booked["ttft_ms"] is not None


async def test_a_caller_who_closes_the_turn_leaves_a_cancelled_entry_behind(
    model: OpenAiHost, project: Project
) -> None:
    """The text so far is booked, and the call of the model is closed."""
    model.pieces, model.ending = [HALF], "hold"
    events = run_turn(AgentRun(turn(), ASKED, time.monotonic()))
    assert await anext(events) == RouteChosen(ROUTE)
    assert await anext(events) == Text("Hel")
    await events.aclose()
    await model.until_hung_up()
    booked = booked_in(project)
    assert (booked["status"], booked["content"], booked["error_code"]) == ("cancelled", "Hel", None)
    assert booked["usage"]["source"] == "estimate"


async def test_a_caller_who_is_cancelled_leaves_a_cancelled_entry_behind(model: OpenAiHost, project: Project) -> None:
    """The booking outlives the cancellation that ended the turn."""
    model.pieces, model.ending = [HALF], "hold"
    seen: list[TurnEvent] = []

    async def listen() -> None:
        async for event in run_turn(AgentRun(turn(), ASKED, time.monotonic())):
            seen.append(event)
            if isinstance(event, Text):
                tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
    assert seen == [RouteChosen(ROUTE), Text("Hel")]
    assert booked_in(project)["status"] == "cancelled"
    await model.until_hung_up()


async def test_a_turn_leaves_one_line_without_content(
    model: OpenAiHost, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log has ids, outcome and timings, and no text of the turn."""
    model.pieces = [text_chunk("Hello ada@example.com")]
    await events_of(ChatRequest(message="a private question"))
    written = capsys.readouterr().out
    assert written.count('"event": "turn"') == 1
    assert '"status": "completed"' in written
    assert "private" not in written
    assert "ada" not in written
    assert project.asked_of("chat_finish")


async def test_every_line_of_a_turn_carries_both_its_ids(
    model: OpenAiHost, project: Project, environ: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also lines of a crash, a rejected key and an unbooked turn have the request id and the turn id."""
    environ(CLASSIFY_WITH_MODEL="1")
    project.answers[EXTEND] = (503, "down")
    project.answers[FINISH] = (503, "down")
    model.status = 401
    await events_of(ChatRequest(message="so and so"))
    await events_of(history=("no message",))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    events = {"unclassified", "alert", "crash", "finish_failed", "unbooked_turn", "unbooked_record", "turn"}
    assert {line["event"] for line in lines} == events
    assert {(line["request_id"], line["turn_id"]) for line in lines} == {(TURN.request_id, TURN.turn_id)}
    assert TURN.request_id != TURN.turn_id
