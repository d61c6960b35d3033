"""The usage of a call, measured from its events."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shared.events import CallPiece, ModelEvent, Reasoning, Text, Usage
from shared.messages import Message, ModelRequest, Node, Tool, ToolCall
from shared.model_request import without_tool_calls
from shared.providers.chat_completions import request_body
from shared.token_bounds import token_upper_bound
from shared.tokens import estimate_tokens
from shared.usage import UsageMeter, total

PROMPT = (Message("system", "Be kind."), Message("user", "Hello there"))
CALL = ModelRequest("m", PROMPT, 100)
NODE_CALL = replace(CALL, node=Node(7, "https://node.example/v1"))
ESTIMATED_INPUT = sum(estimate_tokens(message.content) + 4 for message in PROMPT)


def _metered(*events: ModelEvent, call: ModelRequest = CALL, is_complete: bool = True) -> Usage:
    meter = UsageMeter(call)
    for event in events:
        meter.observe(event)
    return meter.usage(is_complete=is_complete)


def test_of_counts_the_latest_wins() -> None:
    """The latest count replaces earlier ones, because counts are cumulative."""
    assert _metered(Text("a"), Usage(10, 1), Text("b"), Usage(10, 2)) == Usage(10, 2)


def test_a_call_counts_once_by_its_pieces() -> None:
    """The estimate of a call is the same with and without pieces; pieces of a call that was cut count, too."""
    whole = ToolCall("c1", "look", {"at": "it"})
    pieces = [CallPiece("c1", "look", ""), CallPiece("c1", "look", '{"at": '), CallPiece("c1", "look", '"it"}')]
    assert _metered(*pieces, whole) == _metered(*pieces) == _metered(whole)


def test_a_later_zero_does_not_replace_a_count() -> None:
    """Each field keeps its last real count, as some hosts send zeros at the end."""
    assert _metered(Usage(10, 0, 4), Text("a"), Usage(0, 3)) == Usage(10, 3, 4)
    assert _metered(Text("a"), Usage(10, 3, 4, 2), Usage(10, 0)) == Usage(10, 3, 4, 2)


def test_zero_for_what_was_sent_and_generated_is_estimated() -> None:
    """A host that counts nothing is not free, and one zero is as little a count as two."""
    estimate = Usage(ESTIMATED_INPUT, estimate_tokens("Hello there"), source="estimate")
    assert _metered(Text("Hello there")) == estimate
    assert _metered(Text("Hello there"), Usage(0, 0)) == estimate
    assert _metered(Text("Hello there"), Usage(0, 9)) == Usage(ESTIMATED_INPUT, 9, source="partial")
    assert _metered(Text("Hello there"), Usage(9, 0)) == Usage(9, estimate.output_tokens, source="partial")
    assert _metered(Usage(9, 0)) == Usage(9, 0)


def test_a_providers_count_is_bounded_by_what_the_request_can_hold() -> None:
    """Above a margin it is set to the context window and the allowed output, and flagged for the operator."""
    meter = UsageMeter(CALL, context_window=1000)
    meter.observe(Usage(1200, 120))
    assert (meter.usage(is_complete=True), meter.is_excessive) == (Usage(1200, 120), False)
    meter.observe(Usage(10**6, 10**6, 10**6, 10**6))
    assert (meter.usage(is_complete=True), meter.is_excessive) == (Usage(1000, 100, 1000, 100, "partial"), True)


def test_a_silent_call_that_was_given_up_costs_its_input() -> None:
    """A hang-up before the first content is charged for the prompt."""
    assert _metered(is_complete=False) == Usage(ESTIMATED_INPUT, 0, source="estimate")


def test_of_a_cut_answer_what_came_after_the_last_count_is_added() -> None:
    """Neither Claude's placeholder nor max_tokens is charged."""
    cut = _metered(Usage(40, 0, 20), Text("Hello there"), Reasoning("hm"), is_complete=False)
    assert cut == Usage(40, estimate_tokens("Hello therehm"), 20, source="partial")
    counted = _metered(Text("Hello"), Usage(40, 7), Text(" there"), is_complete=False)
    assert counted == Usage(40, 7 + estimate_tokens(" there"), source="partial")
    assert _metered(Text("Hello"), Usage(40, 7), is_complete=False) == Usage(40, 7, source="partial")


def test_a_count_that_has_not_begun_to_count_is_filled_up() -> None:
    """If a chunk has text but no output count yet, its text is estimated."""
    cut = _metered(Text("Hello there"), Usage(40, 0), is_complete=False)
    assert cut.output_tokens == estimate_tokens("Hello there")


def test_tool_calls_are_output_too() -> None:
    """The names and arguments of tool calls count as output."""
    assert _metered(ToolCall("1", "find", {"query": "a long question"})).output_tokens > 4


def test_a_node_is_believed_up_to_what_was_reserved() -> None:
    """A node's counts are limited to the reserved input and output."""
    greedy = Usage(10**6, 10**6, 10**6, 10**6)
    most = sum(len(message.content) + 16 for message in PROMPT)
    assert _metered(Text("a"), greedy, call=NODE_CALL) == Usage(most, 100, most, 100, "partial")


def test_an_offered_tool_is_part_of_what_a_node_may_count() -> None:
    """The limit includes the tools' descriptions and schemas."""
    tool = Tool("find", "x" * 500, {"type": "object"})
    assert _metered(Usage(400, 1), call=replace(NODE_CALL, tools=(tool,))).input_tokens == 400


@given(st.text(max_size=400), st.integers(1, 50))
def test_an_estimate_is_never_more_than_was_reserved(sent_text: str, most: int) -> None:
    """The usage of any answer is at most the reservation."""
    usage = _metered(Text(sent_text), call=replace(CALL, max_output_tokens=most))
    assert usage.output_tokens <= most
    assert usage.input_tokens <= sum(len(message.content.encode()) + 16 for message in PROMPT)


def test_calls_are_added_up_and_as_uncertain_as_the_least_certain() -> None:
    """The total has the least reliable source of the calls."""
    assert total([Usage(1, 2, 3, 4), Usage(1, 2, 3, 4, "partial")]) == Usage(2, 4, 6, 8, "partial")
    assert total([Usage(1, 2), Usage(1, 2, source="estimate")]).source == "estimate"
    assert total([]) == Usage(0, 0, source="estimate")


_texts = st.text(max_size=30)
_calls = st.builds(
    ToolCall, st.text(min_size=1, max_size=64), st.just("look"), st.dictionaries(_texts, _texts, max_size=3)
)
_messages = st.one_of(
    st.builds(Message, st.sampled_from(["system", "user"]), _texts),
    st.builds(Message, st.just("assistant"), _texts, st.lists(_calls, max_size=3).map(tuple)),
    st.builds(Message, st.just("tool"), _texts, tool_call_id=st.text(min_size=1, max_size=64)),
)
_tools = st.builds(Tool, st.just("look"), _texts, st.dictionaries(_texts, _texts, max_size=3))


@given(st.lists(_messages, max_size=4).map(tuple), st.lists(_tools, max_size=2).map(tuple))
def test_no_call_takes_in_more_than_was_reserved(messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> None:
    """The bound is at least the bytes of everything that a model reads, ids and tools as text included."""
    body = request_body(ModelRequest("m", messages, 10, tools=tools))
    read = [*_strings(body["messages"]), *_strings(body.get("tools", []))]
    assert sum(len(each.encode()) for each in read if each not in _MARKS) <= token_upper_bound(messages, tools)
    plain = "".join(message.content for message in without_tool_calls(messages))
    assert len(plain.encode()) <= token_upper_bound(messages)


_MARKS = {"system", "user", "assistant", "tool", "function"}  # single tokens, where a template writes them


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for child in children for each in _strings(child)]
