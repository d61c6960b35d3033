"""A finished turn with its trace, as `telemetry` queues it and `otlp` encodes it."""

from __future__ import annotations

from dataclasses import dataclass

from shared.tracing import TurnTrace
from shared.turns import Receipt


@dataclass(frozen=True, slots=True)
class TracedTurn:
    """A turn to export. `arrived` and `ended` are of time.monotonic(); `ended_ns` is nanoseconds since 1970."""

    trace: TurnTrace
    receipt: Receipt
    arrived: float
    ended: float
    ended_ns: int
