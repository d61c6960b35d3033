"""The result of one diagnostic check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Check:
    """A checked item with its verdict; `fix` is None when the verdict is ok or off."""

    check: str
    verdict: Literal["ok", "off", "warning", "broken"]
    found: dict[str, Any] = field(default_factory=dict)
    fix: str | None = None
