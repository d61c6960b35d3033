"""Sanitises the tool calls of models, so that they can be run, stored and sent back."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from shared.messages import ToolCall
from shared.sanitize import sanitize_text
from shared.strict_json import MAX_VALUES, count_values, parse_json

_ODD = re.compile(r"[^A-Za-z0-9_-]")
_MAX_NAME, _MAX_ID = 64, 64


def tool_call(call_id: str, name: str, written: str) -> ToolCall:
    """The call with parsed arguments; `broken` if they are not a JSON object that can be stored.

    Characters that APIs reject are replaced in the name. A missing or unusual id is replaced by a new one.
    """
    call_id, name = usual_id(call_id), usual_name(name)
    try:
        value = _object_in(written)
        arguments = sanitize_text(value)
        # The original text, if sanitising changed nothing: it keeps numbers as the model wrote them.
        is_sound = arguments == value and sanitize_text(written) == written
        return ToolCall(call_id, name, arguments, written=written if written and is_sound else None)
    except (ValueError, RecursionError):
        return ToolCall(call_id, name, {}, broken=sanitize_text(written))


def usual_id(call_id: str) -> str:
    """The id, or a new one when a provider might reject it."""
    return call_id if is_usual_id(call_id) else fresh_id()


def usual_name(name: str) -> str:
    """The name without characters that APIs reject."""
    return _ODD.sub("_", name)[:_MAX_NAME] or "unknown"


def values_in(written: str) -> int:
    """How many values the arguments contain; 0 for broken ones."""
    try:
        return count_values(json.loads(written))
    except (ValueError, RecursionError):
        return 0


def is_usual_id(call_id: str) -> bool:
    """Whether every provider accepts the id."""
    return 0 < len(call_id) <= _MAX_ID and not _ODD.search(call_id)


def fresh_id() -> str:
    """A new id for a call."""
    return f"call_{secrets.token_hex(8)}"


def _object_in(written: str) -> dict[str, Any]:
    """Raises ValueError for invalid JSON, for too much depth or size, and for values that are not objects."""
    value = parse_json(written or "{}")
    if not isinstance(value, dict):
        raise ValueError("arguments are an object")  # noqa: TRY004 - it is what the text says that is wrong
    if count_values(value) > MAX_VALUES:
        raise ValueError("arguments hold too many values")
    return value
