"""Makes text acceptable for PostgreSQL and for UTF-8 encoders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_LISTS = (list, tuple)
_compact = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def is_sound(text: str) -> bool:
    """Whether the text has neither NUL nor lone surrogates."""
    if text.isascii():
        return "\x00" not in text
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:  # the fastest test for surrogates
        return False


def sanitize_text(value: Any) -> Any:
    """JSON that PostgreSQL accepts: NUL and lone surrogates become U+FFFD; adjacent surrogate halves are joined."""
    if isinstance(value, str):
        if is_sound(value):
            return value
        return value.replace("\x00", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, Mapping):
        return {sanitize_text(key): sanitize_text(item) for key, item in value.items()}
    if isinstance(value, _LISTS):
        return [sanitize_text(item) for item in value]
    return value


def sanitized_json(value: Any) -> str:
    """The JSON text of `sanitize_text(value)`, in ASCII. Raises ValueError for NaN and infinity."""
    try:
        text = _compact(value)
    except TypeError:  # a Mapping that is no dict
        return _compact(sanitize_text(value))
    # In ASCII, NUL and surrogates are escapes, so a search replaces a walk. Emojis and literal backslashes match too.
    return _compact(sanitize_text(value)) if "\\u0000" in text or "\\ud" in text else text
