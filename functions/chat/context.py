"""Keeping a turn that grows with its tools within what its model can read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from shared.messages import Message, Tool

_BYTES_A_TOKEN = 3  # as chat_begin reckons when it cuts history
_AROUND_MESSAGE = 4
_DROPPED: Final = json.dumps(
    {"error": "result_dropped", "hint": "There was no more room for this result. If you need it, ask for less."}
)


def estimated(messages: Iterable[Message], tools: Iterable[Tool] = ()) -> int:
    """Tokens, cautiously: a token per three bytes and four around each message."""
    told = sum(len(tool.description) + len(json.dumps(dict(tool.parameters))) for tool in tools)
    return told // _BYTES_A_TOKEN + sum(_size(message) // _BYTES_A_TOKEN + _AROUND_MESSAGE for message in messages)


def fit(history: list[Message], said: list[Message], budget: int) -> int:
    """Makes room within `budget` tokens: the oldest turns of `history` go, then old results in `said` lose their text.

    The question and the newest results stay. How many messages went.
    """
    had = len(history)
    while history and estimated((*history, *said)) > budget:
        history.pop(0)
        while history and history[0].role != "user":
            history.pop(0)
    newest = next((place for place in range(len(said) - 1, -1, -1) if said[place].role != "tool"), 0)
    for place in range(newest):
        if estimated((*history, *said)) <= budget:
            break
        if said[place].role == "tool" and len(said[place].content) > len(_DROPPED):
            said[place] = replace(said[place], content=_DROPPED, is_error=True)
    return had - len(history)


def _size(message: Message) -> int:
    calls = sum(len(call.name) + len(json.dumps(dict(call.arguments))) for call in message.tool_calls)
    return len(message.content.encode(errors="replace")) + calls
