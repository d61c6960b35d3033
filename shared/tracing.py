"""The trace of a turn: the W3C context of its request, and its model calls and tools, to be exported as spans.

The context is a variable of the task, as the ids of the log are. Nothing here has content of a turn.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from shared.routes import Attempt

MAX_CHILDREN: Final = 128  # spans of one turn; later ones are left out
_SAMPLED = 1
# Version 00 of https://www.w3.org/TR/trace-context/; a later version may have more fields after these.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A position in a trace, as in the header `traceparent`; ids are lower-case hexadecimal."""

    trace_id: str
    span_id: str
    is_sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.is_sampled else 0:02x}"


@dataclass(frozen=True, slots=True)
class ChildSpan:
    """A model call or a tool of the turn; the times are of time.monotonic()."""

    span_id: str
    started: float
    ended: float
    what: Attempt | Mapping[str, Any]


class TurnTrace:
    """The trace of one running turn; `parent` is the client's position, None when it sent none."""

    def __init__(self, parent: TraceContext | None) -> None:
        self.parent = parent
        self.own = TraceContext(parent.trace_id if parent else os.urandom(16).hex(), _new_span_id())
        self.children: list[ChildSpan] = []
        self._attempt_id = self.own.span_id

    def context_of_attempt(self) -> TraceContext:
        """The position that the provider of the running model call gets."""
        return TraceContext(self.own.trace_id, self._attempt_id)

    def begin_attempt(self) -> None:
        """Gives the next model call its own span."""
        self._attempt_id = _new_span_id()

    def add_attempt(self, attempt: Attempt, started: float) -> None:
        """Adds the model call that has just ended."""
        self._add(self._attempt_id, attempt, started)

    def add_tool(self, used: Mapping[str, Any], started: float) -> None:
        """Adds a tool that has just ended; `used` is its record in the log row."""
        self._add(_new_span_id(), used, started)

    def _add(self, span_id: str, what: Attempt | Mapping[str, Any], started: float) -> None:
        if len(self.children) < MAX_CHILDREN:
            self.children.append(ChildSpan(span_id, started, time.monotonic(), what))


_caller: ContextVar[TraceContext | None] = ContextVar("_caller", default=None)
_turn: ContextVar[TurnTrace | None] = ContextVar("_turn", default=None)


def read_traceparent(header: str | None) -> TraceContext | None:
    """The position in the header; None without a valid one."""
    found = _TRACEPARENT.fullmatch(header.strip()) if header else None
    if not found or found[1] == "ff" or (found[1] == "00" and found[5]):
        return None
    if set(found[2]) == {"0"} or set(found[3]) == {"0"}:
        return None
    return TraceContext(found[2], found[3], bool(int(found[4], 16) & _SAMPLED))


def bind_caller(header: str | None) -> None:
    """Keeps the request's `traceparent` for this task and the tasks that it starts; no turn is traced yet."""
    _caller.set(read_traceparent(header))
    _turn.set(None)


def begin_turn(*, is_exported: bool) -> TurnTrace | None:
    """The trace of the turn that now runs in this task; None if it is not exported, or the client did not sample it."""
    parent = _caller.get()
    trace = TurnTrace(parent) if is_exported and (parent is None or parent.is_sampled) else None
    _turn.set(trace)
    return trace


def current() -> TurnTrace | None:
    """The trace of this task's turn; None when there is none."""
    return _turn.get()


def outgoing_headers() -> dict[str, str]:
    """The header `traceparent` of a provider's request: the model call's own span, else what the client sent."""
    trace = _turn.get()
    context = trace.context_of_attempt() if trace else _caller.get()
    return {"traceparent": str(context)} if context else {}


def _new_span_id() -> str:
    return os.urandom(8).hex()
