"""Makes text acceptable for PostgreSQL and for UTF-8 encoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sanitize_text(value: Any) -> Any:
    """JSON that PostgreSQL accepts: NUL and lone surrogates become U+FFFD; adjacent surrogate halves are joined."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, Mapping):
        return {sanitize_text(key): sanitize_text(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [sanitize_text(item) for item in value]
    return value
