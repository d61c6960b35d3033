"""Keeps a turn that grows with its tools within the context window of its model."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from shared.messages import Message
from shared.token_bounds import estimate_prompt

_DROPPED: Final = json.dumps(
    {"error": "result_dropped", "hint": "There was no more room for this result. If you need it, ask for less."}
)


def fit(history: list[Message], new: list[Message], budget: int) -> int:
    """Shortens the conversation to `budget` tokens; returns the number of messages that it removed.

    It removes the oldest turns of `history`, then replaces the text of old results in `new`. The question and the
    newest results stay.
    """
    had = len(history)
    while history and estimate_prompt((*history, *new)) > budget:
        history.pop(0)
        while history and history[0].role != "user":
            history.pop(0)
    newest = next((place for place in range(len(new) - 1, -1, -1) if new[place].role != "tool"), 0)
    for place in range(newest):
        if estimate_prompt((*history, *new)) <= budget:
            break
        if new[place].role == "tool" and len(new[place].content) > len(_DROPPED):
            new[place] = replace(new[place], content=_DROPPED, is_error=True)
    return had - len(history)
