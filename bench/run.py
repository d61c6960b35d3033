"""The lengths of a run: the full one, and the quick one of under three minutes."""

from __future__ import annotations

from dataclasses import dataclass

from tests.postgres_servers import VERSIONS


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds of each measurement, how often targets take turns, and the sizes of the grown database."""

    rounds: int
    seconds: float
    ramp_seconds: float
    hold_seconds: float
    quiet_seconds: float
    database_seconds: float
    versions: tuple[int, ...]
    sizes: tuple[int, ...]


FULL = Run(
    rounds=3,
    seconds=2.0,
    ramp_seconds=7.0,
    hold_seconds=5.0,
    quiet_seconds=3.0,
    database_seconds=4.0,
    versions=VERSIONS,
    sizes=(100_000, 1_000_000),
)
QUICK = Run(
    rounds=1,
    seconds=1.0,
    ramp_seconds=4.0,
    hold_seconds=2.5,
    quiet_seconds=0.3,
    database_seconds=1.0,
    versions=VERSIONS[-1:],
    sizes=(100_000,),
)
