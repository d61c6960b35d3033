"""Assembles tool calls from the pieces of a stream, which hosts number, name and repeat in different ways."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from shared.events import CallPiece
from shared.messages import ToolCall
from shared.providers.tool_calls import tool_call, usual_id, usual_name

_MAX_CALLS, _MAX_ARGUMENTS = 128, 1024 * 1024


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str = ""
    name: str = ""
    size: int = 0
    pieces: list[str] = field(default_factory=list)
    shown: tuple[str, str] | None = None  # the id and the name of its pieces
    shown_pieces: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are a complete JSON object."""
        if not (self.pieces and self.pieces[-1].rstrip().endswith("}")):
            return False
        try:
            return isinstance(json.loads("".join(self.pieces)), dict)
        except (ValueError, RecursionError):
            return False

    def piece(self, used_ids: set[str]) -> CallPiece | None:
        """What came since the last piece; None before the call has a name, and an id or arguments."""
        if self.shown is None:
            if not self.name or not (self.id or self.pieces):
                return None
            self.shown = usual_id("" if self.id in used_ids else self.id), usual_name(self.name)
            used_ids.add(self.shown[0])
        elif self.shown_pieces == len(self.pieces):
            return None
        text, self.shown_pieces = "".join(self.pieces[self.shown_pieces :]), len(self.pieces)
        return CallPiece(*self.shown, text)


class CallPieces:
    """The calls of one answer. Pieces of several calls may alternate."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._ids: set[str] = set()
        self._is_full = False

    def add(self, piece: Any) -> CallPiece | None:
        """Adds one piece, and gives what it adds to a call; None for nothing, as of null.

        Raises ValueError when a call's arguments are too long.
        """
        if piece is None:
            return None
        function = piece.get("function") or {}
        index, call_id, name = _index(piece.get("index")), _text(piece.get("id")), _text(function.get("name"))
        arguments = function.get("arguments")
        written = arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""
        call = self._continued(index, call_id, name, written)
        if call is None:
            if self._is_full or len(self._calls) >= _MAX_CALLS:
                self._is_full = True  # drop the rest; Toolbox reports its limit to the model
                return None
            call = _Call(index)
            self._calls.append(call)
        call.id, call.name = call.id or call_id, call.name or name
        call.size += len(written)
        if call.size > _MAX_ARGUMENTS:
            raise ValueError("too much in a tool call")
        if written:
            call.pieces.append(written)
        return call.piece(self._ids)

    def calls(self) -> list[ToolCall]:
        """The calls in the order in which they began; a call that never had a name is none."""
        return [
            tool_call(*(each.shown or (each.id, each.name)), "".join(each.pieces)) for each in self._calls if each.name
        ]

    def _continued(self, index: int | None, call_id: str, name: str, written: str) -> _Call | None:
        """The call that the piece continues; None when it begins one."""
        same_index = [each for each in self._calls if index is None or each.index in {index, None}]
        if call_id:
            # Some hosts send index 0 always, others the id only once: another id is another call.
            named = [each for each in same_index if each.id == call_id]
            if not named and same_index and not same_index[-1].id and not (name and same_index[-1].name):
                named = same_index[-1:]  # the id comes late
            same_index = named
        if not same_index:
            return None
        latest = same_index[-1]
        if name and latest.name and ((name != latest.name and not call_id) or (written.strip() and latest.is_whole)):
            return None  # a name begins a call, unless it is repeated with each piece
        return latest


def _index(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
