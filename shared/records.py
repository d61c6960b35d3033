"""Dataclasses as JSON objects."""

from __future__ import annotations

from typing import Any


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass as they are; dataclasses.asdict copies all that they hold."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
