"""Privacy: what leaves a turn for a log row or a spool record passes through here first, redacted or withheld.

Messages in a conversation are not redacted: they belong to the people in it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from shared.redaction import redact, redact_field

WITHHELD = "[content withheld]"


def loggable(text: str, log_content: str) -> str | None:
    """What of `text` may stand in a log row; a redactor that fails costs the content, never lets it through."""
    if log_content == "none":
        return None
    try:
        return redact(text)
    except Exception:  # noqa: BLE001 - whatever went wrong, raw text must not be written
        return WITHHELD


def loggable_json(value: Any) -> Any:
    """JSON with every string in it redacted, names of fields included; a number that reads like a card goes too."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): _loggable_field(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [loggable_json(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        digits = str(int(value))
        return value if (told := redact(digits)) == digits else told
    return value


def _loggable_field(name: str, item: Any) -> Any:
    return redact_field(name, item) if isinstance(item, str) else loggable_json(item)


def loggable_value(value: Any, log_content: str) -> Any:
    """What of JSON with words may stand in a log row or the spool: redacted, or None where `loggable` keeps nothing."""
    if log_content == "none":
        return None
    try:
        return loggable_json(value)
    except Exception:  # noqa: BLE001 - whatever went wrong, raw text must not be written
        return None


def person_hash(user_id: str, pepper: str) -> str | None:
    """What stands for a person where their id must not: an HMAC by a secret pepper; None without either."""
    if not pepper or not user_id:
        return None
    return "v1:" + hmac.new(pepper.encode(), user_id.encode(), hashlib.sha256).hexdigest()
