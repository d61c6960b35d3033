"""An answer of one preset, as clients get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CacheState = Literal["HIT", "STALE", "MISS", "REPLAY"]


@dataclass(frozen=True, slots=True)
class Serving:
    """A model begins to answer: the headers of its turn so far, for a response that starts before the end."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """`output` is the JSON of the preset's output. `age_seconds` is None for an answer that was computed now.

    `headers` are those of the turn: the model that served, and what is left of the limits.
    """

    output: bytes
    receipt: dict[str, Any]
    cache: CacheState
    age_seconds: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
