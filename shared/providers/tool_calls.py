"""A tool call as a model wrote it, made fit to be run, stored and told again."""

from __future__ import annotations

import json
import math
import re
import secrets
from typing import Any

from shared.messages import ToolCall
from shared.sanitize import sanitize_text

_ODD = re.compile(r"[^A-Za-z0-9_-]")
_MAX_NAME, _MAX_ID, _MAX_DEPTH, _MAX_VALUES = 64, 64, 64, 100_000


def tool_call(call_id: str, name: str, written: str) -> ToolCall:
    """A call with the arguments a model wrote; what is no JSON object, or none that can be stored, is a broken one.

    A name of other characters than APIs allow would make them refuse the conversation it stands in; an id that is
    missing or odd gets one of ours, so that no two calls of a turn share one.
    """
    name = _ODD.sub("_", name)[:_MAX_NAME] or "unknown"
    if not is_usual_id(call_id):
        call_id = fresh_id()
    try:
        value = _object_in(written)
        arguments = sanitize_text(value)
        # The text itself, which keeps numbers as they were written, where nothing had to be mended.
        is_sound = arguments == value and sanitize_text(written) == written
        return ToolCall(call_id, name, arguments, written=written if written and is_sound else None)
    except (ValueError, RecursionError):
        return ToolCall(call_id, name, {}, broken=sanitize_text(written))


def values_in(written: str) -> int:
    """How many values stand in arguments; none in broken ones, which are only text."""
    try:
        return _size(json.loads(written))
    except (ValueError, RecursionError):
        return 0


def is_usual_id(call_id: str) -> bool:
    """Whether every provider takes it."""
    return 0 < len(call_id) <= _MAX_ID and not _ODD.search(call_id)


def fresh_id() -> str:
    """An id for a call that came without one."""
    return f"call_{secrets.token_hex(8)}"


def _object_in(written: str) -> dict[str, Any]:
    """Raises ValueError for what JSON itself does not know, for depth and size that no tool needs, and other values."""
    value = json.loads(written or "{}", parse_constant=_refused, parse_float=_finite)
    if not isinstance(value, dict):
        raise ValueError("arguments are an object")  # noqa: TRY004 - it is what the text says that is wrong
    if _size(value) > _MAX_VALUES:
        raise ValueError("arguments hold too many values")
    return value


def _size(value: Any) -> int:
    """How many values stand in this one. Raises ValueError where they are nested too deeply."""
    level, size = [value], 0
    for _ in range(_MAX_DEPTH):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return size
        size += sum(map(len, level))
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
    raise ValueError("arguments are nested too deeply")


def _refused(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("no such number")
    return number
