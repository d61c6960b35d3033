"""Keeps a turn that grows with its tools within the context window of its model."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from shared.messages import Message, Tool

_BYTES_A_TOKEN = 3  # the estimate by which chat_begin cuts history
_AROUND_MESSAGE = 4
_DROPPED: Final = json.dumps(
    {"error": "result_dropped", "hint": "There was no more room for this result. If you need it, ask for less."}
)


def estimated(messages: Iterable[Message], tools: Iterable[Tool] = ()) -> int:
    """A cautious estimate in tokens: one per three bytes, and four for each message."""
    offered = sum(len(tool.description) + len(json.dumps(dict(tool.parameters))) for tool in tools)
    return offered // _BYTES_A_TOKEN + sum(_size(message) // _BYTES_A_TOKEN + _AROUND_MESSAGE for message in messages)


def fit(history: list[Message], new: list[Message], budget: int) -> int:
    """Makes room within `budget` tokens: the oldest turns of `history` go, then old results in `new` lose their text.

    The question and the newest results stay. Returns the number of messages that went.
    """
    had = len(history)
    while history and estimated((*history, *new)) > budget:
        history.pop(0)
        while history and history[0].role != "user":
            history.pop(0)
    newest = next((place for place in range(len(new) - 1, -1, -1) if new[place].role != "tool"), 0)
    for place in range(newest):
        if estimated((*history, *new)) <= budget:
            break
        if new[place].role == "tool" and len(new[place].content) > len(_DROPPED):
            new[place] = replace(new[place], content=_DROPPED, is_error=True)
    return had - len(history)


def _size(message: Message) -> int:
    calls = sum(len(call.name) + len(json.dumps(dict(call.arguments))) for call in message.tool_calls)
    return len(message.content.encode(errors="replace")) + calls
