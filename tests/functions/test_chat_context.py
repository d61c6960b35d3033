"""Room in the context window for the results of tools."""

from __future__ import annotations

import json

from functions.chat.context import fit
from shared.messages import Message, Tool, ToolCall
from shared.token_bounds import estimate_prompt

_TURN = (Message("user", "a" * 300), Message("assistant", "b" * 300))


def _result(text: str) -> Message:
    return Message("tool", text, tool_call_id="c")


def test_the_oldest_turns_go_first_and_whole() -> None:
    """A question goes with its answer; what fits stays; the number of dropped messages is returned."""
    history, sent_text = list(_TURN * 3), [Message("user", "now")]
    assert fit(history, sent_text, 10_000) == 0
    assert fit(history, sent_text, estimate_prompt((*_TURN, *sent_text))) == 4
    assert history == list(_TURN)


def test_then_old_results_lose_their_text_and_the_newest_stay() -> None:
    """The replacement text asks the model for less; the question is never changed."""
    calls = Message("assistant", "", (ToolCall("c", "f", {}),))
    sent_text = [Message("user", "now"), calls, _result("x" * 3000), calls, _result("y" * 3000)]
    history = list(_TURN)
    fit(history, sent_text, 1200)
    assert history == []
    assert json.loads(sent_text[2].content)["error"] == "result_dropped"
    assert sent_text[2].is_error
    assert (sent_text[0].content, sent_text[4].content) == ("now", "y" * 3000)


def test_what_cannot_fit_is_left_to_the_model() -> None:
    """Nothing to drop is no endless loop."""
    sent_text = [Message("user", "x" * 9000)]
    assert fit([], sent_text, 10) == 0
    assert sent_text == [Message("user", "x" * 9000)]


def test_tools_are_reckoned_with() -> None:
    """Their descriptions and schemas are read with every call."""
    tool = Tool("f", "d" * 300, {"type": "object"})
    assert estimate_prompt([], [tool]) > 100
