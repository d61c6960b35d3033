"""Spans of whole turns, at an OTLP receiver."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from functions.chat.protocols.completions.request import CompletionRequest
from functions.chat.protocols.run import StatelessRun
from shared import telemetry
from shared.run_turn import Failure, run_turn
from shared.tracing import bind_caller, read_traceparent
from shared.turns import Receipt
from tests.fakes.openai import OpenAiHost, chunk, sse, text_chunk
from tests.fakes.otlp import OtlpReceiver, attributes_of, serving_receiver
from tests.fakes.supabase import Project
from tests.functions.tool_turns import add_call, calls_answer, events_of
from tests.functions.turns import turn

pytestmark = pytest.mark.anyio
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
async def receiver(
    model: OpenAiHost,  # noqa: ARG001 - the environment of the model comes first
    environ: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[OtlpReceiver]:
    """A receiver that the environment names, and an exporter without earlier turns."""
    monkeypatch.setattr(telemetry, "_exporter", telemetry.Exporter())
    bind_caller(None)
    async with serving_receiver() as running:
        environ(OTEL_EXPORTER_OTLP_ENDPOINT=running.url)
        yield running


def _by_name(receiver: OtlpReceiver) -> dict[str, Span]:
    return {span.name: span for span in receiver.spans}


async def test_a_turn_is_one_span_with_its_calls_and_tools_as_children(
    receiver: OtlpReceiver, model: OpenAiHost
) -> None:
    """The names are those of the conventions for generative AI; the parent is the client's span."""
    bind_caller(f"00-{TRACE}-{SPAN}-01")
    model.script = [calls_answer(add_call(1, 2)), (200, [text_chunk("Three")])]
    await events_of()
    await telemetry.drained()
    whole, *_ = receiver.spans
    assert (whole.name, whole.trace_id.hex(), whole.parent_span_id.hex()) == ("invoke_agent general", TRACE, SPAN)
    names = [(span.name, span.kind) for span in receiver.spans[1:]]
    calls = ("chat gpt-4o", Span.SPAN_KIND_CLIENT)
    assert names == [calls, ("execute_tool analyze_data", Span.SPAN_KIND_INTERNAL), calls]
    assert {span.parent_span_id for span in receiver.spans[1:]} == {whole.span_id}
    assert all(
        whole.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano <= whole.end_time_unix_nano
        for span in receiver.spans
    )
    found = attributes_of(whole)
    assert found["gen_ai.response.time_to_first_chunk"] <= (whole.end_time_unix_nano - whole.start_time_unix_nano) / 1e9
    assert found | {"gen_ai.response.time_to_first_chunk": 0} == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "general",
        "gen_ai.conversation.id": "conversation-1",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.max_tokens": 1000,
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0,
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cost.amount": 0.002,
        "gen_ai.usage.cost.currency": "USD",
        "gen_ai.usage.cost.source": "parley",
        "parley.usage.source": "provider",
        "parley.turn.id": "turn-1",
        "parley.request.id": "request-1",
        "parley.turn.status": "completed",
        "parley.route.reason": "asked",
    }
    assert receiver.services == ["parley-chat"]


async def test_cached_and_reasoning_tokens_are_named_apart(receiver: OtlpReceiver, model: OpenAiHost) -> None:
    """The input includes the cached tokens, the output the reasoning."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 80},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    model.pieces = [sse(chunk({"content": "Hi"}, "stop"), {"choices": [], "usage": usage}, "[DONE]")]
    await events_of()
    await telemetry.drained()
    found = attributes_of(_by_name(receiver)["chat gpt-4o"])
    named = {name: value for name, value in found.items() if name.startswith("gen_ai.usage.")}
    assert named == {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 80,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.reasoning.output_tokens": 40,
    }


async def test_no_content_of_a_turn_is_in_its_spans(receiver: OtlpReceiver, model: OpenAiHost) -> None:
    """Neither the question, the answer, nor the arguments and results of tools."""
    model.script = [calls_answer(add_call(41, 1), text="Adding."), (200, [text_chunk("It is 42")])]
    await events_of()
    await telemetry.drained()
    text = "".join(map(str, receiver.spans))
    assert [word for word in ("Adding", "It is 42", "numbers", "sum", '"Hi"') if word in text] == []


async def test_the_provider_gets_the_span_of_its_call(receiver: OtlpReceiver, model: OpenAiHost) -> None:
    """Spans of a provider that traces belong to the call that it answered."""
    model.pieces = [text_chunk("Hello")]
    await events_of()
    await telemetry.drained()
    sent = read_traceparent(model.received[0].headers["traceparent"])
    call = _by_name(receiver)["chat gpt-4o"]
    assert sent is not None
    assert (sent.trace_id, sent.span_id) == (call.trace_id.hex(), call.span_id.hex())


async def test_a_failed_turn_has_an_error_in_its_spans(receiver: OtlpReceiver, model: OpenAiHost) -> None:
    """The turn and the call have the error's code; the call has the provider's status."""
    model.status = 400
    events = await events_of()
    await telemetry.drained()
    assert any(isinstance(event, Failure) for event in events)
    whole, call = receiver.spans
    assert (whole.status.code, call.status.code) == (2, 2)
    assert attributes_of(whole)["error.type"] == attributes_of(call)["error.type"] == "provider_refused"
    assert attributes_of(call)["http.response.status_code"] == 400


async def test_a_completion_is_a_span_without_an_agent(receiver: OtlpReceiver, model: OpenAiHost) -> None:
    """Its operation is `chat`."""
    model.pieces = [text_chunk("Hello")]
    asked = CompletionRequest.model_validate({"model": "x", "messages": [{"role": "user", "content": "Hi"}]})
    async for _ in run_turn(StatelessRun(turn(), asked.stateless, time.monotonic())):
        pass
    await telemetry.drained()
    assert [span.name for span in receiver.spans] == ["chat gpt-4o", "chat gpt-4o"]
    assert "gen_ai.agent.name" not in attributes_of(receiver.spans[0])


async def test_headers_and_the_service_s_name_are_the_operator_s(
    receiver: OtlpReceiver, model: OpenAiHost, environ: Callable[..., None]
) -> None:
    """OTEL_EXPORTER_OTLP_HEADERS and OTEL_SERVICE_NAME have OpenTelemetry's own form."""
    environ(OTEL_EXPORTER_OTLP_HEADERS="x-key=a%20b,x-team = blue", OTEL_SERVICE_NAME="shop")
    model.pieces = [text_chunk("Hello")]
    await events_of()
    await telemetry.drained()
    assert (receiver.headers[0]["x-key"], receiver.headers[0]["x-team"]) == ("a b", "blue")
    assert receiver.services == ["shop"]


async def test_a_receiver_that_fails_loses_no_turn_and_gets_the_spans_later(
    receiver: OtlpReceiver, model: OpenAiHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The turn has its receipt; its spans wait for the next export after the pause."""
    model.pieces = [text_chunk("Hello")]
    receiver.status = 503
    assert isinstance((await events_of())[-1], Receipt)
    await telemetry.drained()
    assert '"event": "spans_failed"' in capsys.readouterr().out
    await events_of()  # during the pause nothing is sent
    await telemetry.drained()
    assert len(receiver.headers) == 1
    receiver.status = 200
    monkeypatch.setattr(telemetry._exporter, "_next_try", 0.0)  # noqa: SLF001 - instead of waiting
    await events_of()
    await telemetry.drained()
    assert [span.name for span in receiver.spans].count("invoke_agent general") == 3


@pytest.mark.parametrize("status", [400, 413])
async def test_spans_that_the_receiver_rejects_are_not_sent_again(
    receiver: OtlpReceiver, model: OpenAiHost, status: int
) -> None:
    """Otherwise one bad batch would block all later ones."""
    model.pieces = [text_chunk("Hello")]
    receiver.status = status
    await events_of()
    await telemetry.drained()
    receiver.status = 200
    await events_of()
    await telemetry.drained()
    assert [span.name for span in receiver.spans].count("invoke_agent general") == 1


async def test_without_a_receiver_the_queue_is_bounded(
    model: OpenAiHost, project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turns go on with nothing at the address, and the newest spans are dropped when the queue is full."""
    monkeypatch.setattr(telemetry, "_exporter", telemetry.Exporter())
    monkeypatch.setattr(telemetry, "MAX_QUEUED", 3)
    environ(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    model.pieces = [text_chunk("Hello")]
    for _ in range(5):
        assert isinstance((await events_of())[-1], Receipt)
    await telemetry.drained()
    assert len(telemetry._exporter._queue) == 3  # noqa: SLF001 - its bound is the promise
    assert len(project.asked_of("chat_finish")) == 5


async def test_a_turn_without_the_variable_loads_no_protobuf(model: OpenAiHost) -> None:
    """Without OTEL_EXPORTER_OTLP_ENDPOINT nothing is queued."""
    model.pieces = [text_chunk("Hello")]
    before: Any = telemetry._exporter._task  # noqa: SLF001
    await events_of()
    assert telemetry._exporter._task is before  # noqa: SLF001
