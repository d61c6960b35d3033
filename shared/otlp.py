"""Encodes finished turns as OTLP spans, by OpenTelemetry's conventions for generative AI; loaded by the first export.

A span has no content: neither questions and answers, nor arguments and results of tools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from shared.events import Usage
from shared.routes import Attempt
from shared.traced_turn import TracedTurn
from shared.tracing import ChildSpan
from shared.turns import TurnResult

_PROVIDERS = {"google": "gcp.gemini"}  # the conventions' names where they differ from ours
_NS = 1_000_000_000


def encode(turns: Sequence[TracedTurn], service: str) -> bytes:
    """The body of a request to /v1/traces."""
    spans = ScopeSpans(scope=InstrumentationScope(name="parley"), spans=[s for turn in turns for s in _spans_of(turn)])
    resource = Resource(attributes=_attributes({"service.name": service}))
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=resource, scope_spans=[spans])])
    return bytes(request.SerializeToString())


def _spans_of(turn: TracedTurn) -> list[Span]:
    return [_turn_span(turn), *(_child_span(turn, child) for child in turn.trace.children)]


def _turn_span(turn: TracedTurn) -> Span:
    trace, result = turn.trace, turn.receipt.result
    operation, name = ("invoke_agent", result.agent_type) if result.agent_type else ("chat", result.route.upstream_id)
    cost = turn.receipt.cost_usd
    attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.agent.name": result.agent_type,
        "gen_ai.conversation.id": result.turn.conversation_id,
        "gen_ai.provider.name": _provider_name(result.route.provider),
        "gen_ai.request.model": result.turn.routes[0].upstream_id,
        "gen_ai.request.max_tokens": result.route.max_output_tokens,
        "gen_ai.response.model": result.route.upstream_id,
        "gen_ai.response.finish_reasons": [result.finish_reason] if result.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": None if result.ttft_ms is None else result.ttft_ms / 1000,
        "gen_ai.usage.cost.amount": None if cost is None else float(cost),
        "gen_ai.usage.cost.currency": None if cost is None else "USD",
        "gen_ai.usage.cost.source": None if cost is None else "parley",
        "error.type": result.error_code,
        "parley.turn.id": result.turn.turn_id,
        "parley.request.id": result.turn.request_id,
        "parley.turn.status": result.status,
        "parley.route.reason": result.turn.reason,
    } | _usage(result.usage)
    return _span(
        turn,
        span_id=trace.own.span_id,
        parent_id=trace.parent.span_id if trace.parent else "",
        name=f"{operation} {name}",
        kind=Span.SPAN_KIND_SERVER,
        times=(turn.arrived, turn.ended),
        attributes=attributes,
        has_failed=result.status in {"failed", "partial"},
    )


def _child_span(turn: TracedTurn, child: ChildSpan) -> Span:
    if isinstance(child.what, Attempt):
        name, attributes = _attempt(child.what, turn.receipt.result)
        kind, has_failed = Span.SPAN_KIND_CLIENT, not child.what.ok
    else:
        name, attributes = _tool(child.what)
        kind, has_failed = Span.SPAN_KIND_INTERNAL, not child.what["ok"]
    return _span(
        turn,
        span_id=child.span_id,
        parent_id=turn.trace.own.span_id,
        name=name,
        kind=kind,
        times=(child.started, child.ended),
        attributes=attributes,
        has_failed=has_failed,
    )


def _attempt(attempt: Attempt, result: TurnResult) -> tuple[str, dict[str, Any]]:
    route = next((each for each in result.turn.routes if each.identifier == attempt.identifier), result.route)
    return f"chat {route.upstream_id}", {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _provider_name(route.provider),
        "gen_ai.request.model": route.upstream_id,
        "error.type": attempt.error_code,
        "http.response.status_code": attempt.upstream_status,
    } | _usage(attempt.usage)


def _tool(used: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return f"execute_tool {used['name']}", {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": used["name"],
        "gen_ai.tool.type": "function",
        "error.type": used.get("error"),
    }


def _usage(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens or None,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens or None,
        "parley.usage.source": usage.source,
    }


def _span(
    turn: TracedTurn,
    *,
    span_id: str,
    parent_id: str,
    name: str,
    kind: Span.SpanKind.ValueType,
    times: tuple[float, float],
    attributes: Mapping[str, Any],
    has_failed: bool,
) -> Span:
    started_ns, ended_ns = (turn.ended_ns - round((turn.ended - time) * _NS) for time in times)
    return Span(
        trace_id=bytes.fromhex(turn.trace.own.trace_id),
        span_id=bytes.fromhex(span_id),
        parent_span_id=bytes.fromhex(parent_id),
        name=name,
        kind=kind,
        start_time_unix_nano=started_ns,
        end_time_unix_nano=ended_ns,
        attributes=_attributes(attributes),
        status=Status(code=Status.STATUS_CODE_ERROR if has_failed else Status.STATUS_CODE_UNSET),
    )


def _provider_name(provider: str) -> str:
    return _PROVIDERS.get(provider, provider)


def _attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in values.items() if value is not None]


def _value(value: Any) -> AnyValue:
    match value:
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=map(_value, value)))
        case _:
            return AnyValue(string_value=str(value))
