"""Orders the pieces of tool calls: Anthropic's blocks follow each other, a provider's pieces may alternate."""

from __future__ import annotations

import json
from collections.abc import Iterator

from shared.events import CallPiece
from shared.messages import ToolCall


class CallQueue:
    """Gives the pieces of one call after those of another; pieces of a later call wait until the open one is whole."""

    def __init__(self) -> None:
        self._begun: dict[str, str] = {}  # the arguments so far, by the ids of calls
        self._waiting: dict[str, CallPiece] = {}
        self._open: str | None = None

    def add(self, event: CallPiece | ToolCall) -> Iterator[CallPiece]:
        """The pieces that can be sent now."""
        if isinstance(event, ToolCall):
            yield from self._ended(event)
            return
        self._begun[event.id] = self._begun.get(event.id, "") + event.text
        if self._open is None or (self._open != event.id and not self._waiting and self._is_whole(self._open)):
            self._open = event.id
        if self._open == event.id:
            yield event
        else:
            before = self._waiting.get(event.id)
            self._waiting[event.id] = CallPiece(event.id, event.name, (before.text if before else "") + event.text)

    def rest(self) -> Iterator[CallPiece]:
        """The pieces that still wait."""
        waiting, self._waiting = self._waiting, {}
        yield from waiting.values()

    def _ended(self, call: ToolCall) -> Iterator[CallPiece]:
        if call.id not in self._begun:
            yield from self.rest()
            yield CallPiece(call.id, call.name, call.text if call.broken is None else call.broken)
        elif (piece := self._waiting.pop(call.id, None)) is not None:
            yield piece
        if self._open == call.id:
            self._open = None

    def _is_whole(self, call_id: str) -> bool:
        try:
            return isinstance(json.loads(self._begun[call_id]), dict)
        except (ValueError, RecursionError):
            return False
