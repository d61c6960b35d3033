"""The W3C context of a request, and the spans of its turn."""

from __future__ import annotations

import pytest

from shared import tracing
from shared.routes import Attempt
from shared.tracing import TraceContext, begin_turn, bind_caller, outgoing_headers, read_traceparent

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("header", [HEADER, f" {HEADER} ", f"01-{TRACE}-{SPAN}-01-more"])
def test_a_valid_traceparent_is_read(header: str) -> None:
    """The trace, the span and the sampled flag are read, also of a later version."""
    assert read_traceparent(header) == TraceContext(TRACE, SPAN)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "x",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\r\nX: y",
        "0" * 10_000,
    ],
)
def test_any_other_header_is_ignored(header: str | None) -> None:
    """An invalid traceparent counts as none."""
    assert read_traceparent(header) is None


def test_a_client_s_context_is_passed_on_unchanged_without_an_export() -> None:
    """A deployment without spans of its own does not break the client's trace."""
    bind_caller(HEADER)
    assert begin_turn(is_exported=False) is None
    assert outgoing_headers() == {"traceparent": HEADER}
    bind_caller(None)
    assert outgoing_headers() == {}


def test_each_model_call_has_its_own_span_in_the_client_s_trace() -> None:
    """The provider gets the client's trace id with the span of the running call."""
    bind_caller(HEADER)
    trace = begin_turn(is_exported=True)
    assert trace is not None
    assert (trace.own.trace_id, trace.parent) == (TRACE, TraceContext(TRACE, SPAN))
    sent = []
    for _ in range(2):
        trace.begin_attempt()
        sent.append(read_traceparent(outgoing_headers()["traceparent"]))
        trace.add_attempt(Attempt("openai:gpt-4o", "openai", ok=True, ms=1), 0.0)
    spans = [child.span_id for child in trace.children]
    assert [each.span_id for each in sent if each] == spans
    assert len({*spans, trace.own.span_id, SPAN}) == 4


def test_a_trace_that_the_client_does_not_sample_is_not_exported() -> None:
    """The flag of the client decides, and reaches the provider."""
    header = f"00-{TRACE}-{SPAN}-00"
    bind_caller(header)
    assert begin_turn(is_exported=True) is None
    assert outgoing_headers() == {"traceparent": header}


def test_the_spans_of_a_turn_are_bounded() -> None:
    """A turn with endless tools keeps the first spans."""
    bind_caller(None)
    trace = begin_turn(is_exported=True)
    assert trace is not None
    for _ in range(tracing.MAX_CHILDREN + 5):
        trace.add_tool({"name": "add", "ok": True}, 0.0)
    assert len(trace.children) == tracing.MAX_CHILDREN
