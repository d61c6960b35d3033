"""Redacts or withholds the content of log rows and spool records.

Messages of a conversation are not redacted: they belong to its members.
"""

from __future__ import annotations

import functools
import hmac
from collections.abc import Mapping
from typing import Any

from shared.redaction import redact, redact_field

WITHHELD = "[content withheld]"


def loggable(text: str, log_content: str) -> str | None:
    """The text for a log row: redacted, withheld if redaction fails, or None if `log_content` is `none`."""
    if log_content == "none":
        return None
    try:
        return redact(text)
    except Exception:  # noqa: BLE001 - raw text must not be written after any failure
        return WITHHELD


@functools.lru_cache(maxsize=1024)
def loggable_name(name: str) -> str:
    """The redacted name of a model, which many requests repeat; withheld if redaction fails."""
    return loggable(name, "redacted") or ""


def loggable_json(value: Any, name: str = "") -> Any:
    """JSON with every string redacted, field names and numbers included; a field's name is context of its values."""
    if isinstance(value, str):
        return redact_field(name, value)
    if isinstance(value, Mapping):
        return {redact(str(key)): loggable_json(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [loggable_json(item, name) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
        digits = str(int(value))
        return value if (redacted := redact_field(name, digits)) == digits else redacted
    return value


def loggable_value(value: Any, log_content: str) -> Any:
    """JSON for a log row or the spool: redacted, or None if redaction fails or `log_content` is `none`."""
    if log_content == "none":
        return None
    try:
        return loggable_json(value)
    except Exception:  # noqa: BLE001 - raw text must not be written after any failure
        return None


def person_hash(user_id: str, pepper: str) -> str | None:
    """A pseudonym of the user: an HMAC with the secret pepper; None without a user or a pepper."""
    if not pepper or not user_id:
        return None
    return "v1:" + hmac.digest(pepper.encode(), user_id.encode(), "sha256").hex()
