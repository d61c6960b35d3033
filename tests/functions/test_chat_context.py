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
    """A question is dropped with its answer, and the number of dropped messages is returned."""
    history, new = list(_TURN * 3), [Message("user", "now")]
    assert fit(history, new, 10_000) == 0
    assert fit(history, new, estimate_prompt((*_TURN, *new))) == 4
    assert history == list(_TURN)


def test_then_old_results_lose_their_text_and_the_newest_stay() -> None:
    """The replacement text asks the model for less; the question is never changed."""
    calls = Message("assistant", "", (ToolCall("c", "f", {}),))
    new = [Message("user", "now"), calls, _result("x" * 3000), calls, _result("y" * 3000)]
    history = list(_TURN)
    fit(history, new, 1200)
    assert history == []
    assert json.loads(new[2].content)["error"] == "result_dropped"
    assert new[2].is_error
    assert (new[0].content, new[4].content) == ("now", "y" * 3000)


def test_what_cannot_fit_is_left_to_the_model() -> None:
    """Without anything to drop the function returns."""
    new = [Message("user", "x" * 9000)]
    assert fit([], new, 10) == 0
    assert new == [Message("user", "x" * 9000)]


def test_tools_are_reckoned_with() -> None:
    """The descriptions and schemas of tools count towards the budget."""
    tool = Tool("f", "d" * 300, {"type": "object"})
    assert estimate_prompt([], [tool]) > 100


def test_the_newest_result_stays_when_nothing_else_is_left_to_drop() -> None:
    """Even over the budget the newest result stays, because the model has not read it yet."""
    calls = Message("assistant", "", (ToolCall("c", "f", {}),))
    new = [Message("user", "now"), calls, _result("y" * 3000)]
    assert fit([], new, 10) == 0
    assert new[2] == _result("y" * 3000)
