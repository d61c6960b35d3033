"""The goals of speed: each compares figures of one run, and is held or missed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench import figures, growth, reports, side_by_side
from bench.figures import Figures, value_text

PARLEY, UI, RAW, HELLO, LLMS = "completions", "POST /, stored", side_by_side.REFERENCE, "hello", "llms /health"
_OWN_PAGES = tuple(growth.PAGES)

Blocks = Mapping[str, Figures]
"""The figures of each block that ran, by its name."""

Measure = Callable[[Blocks], float | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """`before` is the value of the version before the work on speed. A figure that was not measured is None."""

    name: str
    before: str
    limit: float
    measured: Measure
    is_rate: bool = False
    unit: str = "x"

    def row(self, blocks: Blocks) -> list[str]:
        """Its line in the table."""
        value = self.measured(blocks)
        sign, digits = (">=" if self.is_rate else "<="), 2 if self.limit < 100 else 0
        goal = f"{sign} {value_text(self.limit, digits)} {self.unit}"
        shown = "not measured" if value is None else f"{value_text(value, digits)} {self.unit}"
        return [self.name, self.before, goal, shown, self._verdict(value)]

    def _verdict(self, value: float | None) -> str:
        if value is None:
            return ""
        if value >= self.limit if self.is_rate else value <= self.limit:
            return "held"
        return f"missed by {figures.ratio_text(max(value, self.limit), min(value, self.limit)) or value_text(value, 2)}"


def one(block: str, target: str, name: str) -> Measure:
    """One figure."""
    return lambda blocks: blocks.get(block, {}).get(target, {}).get(name)


def quotient(above: Measure, below: Measure) -> Measure:
    """One figure divided by another."""

    def measured(blocks: Blocks) -> float | None:
        value, reference = above(blocks), below(blocks)
        return value / reference if value is not None and reference else None

    return measured


def _table(target: str, name: str) -> Measure:
    return one("side_by_side", target, name)


def _over(name: str, target: str, reference: str) -> Measure:
    return quotient(_table(target, name), _table(reference, name))


def _ledger(version: int, fsync: str, name: str) -> Measure:
    return one("ledger", f"PostgreSQL {version}, fsync {fsync}", name)


def _slowest_page(blocks: Blocks) -> float | None:
    grown = blocks.get("growth", {}).get("1,000,000 rows", {})
    return max((grown[page] for page in _OWN_PAGES if page in grown), default=None)


def _slowest_report(blocks: Blocks) -> float | None:
    found = blocks.get("reports", {})
    return max((found[name]["cpu_ms"] for name in (*reports.QUERIES, *reports.OWN) if name in found), default=None)


GOALS = (
    Goal("added p50 / raw pass-through", "27", 7, _over("added_ms", PARLEY, RAW)),
    Goal("added p50 / Portkey", "6.9", 2, _over("added_ms", PARLEY, "Portkey")),
    Goal("added p50 / LiteLLM", "0.64", 1 / 6, _over("added_ms", PARLEY, "LiteLLM")),
    Goal("turns/s / raw pass-through", "1/26", 1 / 6, _over("turns_s", PARLEY, RAW), is_rate=True),
    Goal("turns/s / Portkey", "1/5", 0.8, _over("turns_s", PARLEY, "Portkey"), is_rate=True),
    Goal("turns/s / LiteLLM", "2.3", 9, _over("turns_s", PARLEY, "LiteLLM"), is_rate=True),
    Goal("CPU of chat a turn / raw pass-through", "12", 3.5, _over("own_ms", PARLEY, RAW)),
    Goal("CPU of chat a turn / Portkey", "2.6", 0.75, _over("own_ms", PARLEY, "Portkey")),
    Goal("CPU of chat, POST / / completions", "1.9", 1.25, _over("own_ms", UI, PARLEY)),
    Goal("500 streams, CPU a token / raw pass-through", "3.5", 1.1, _over("held_us", PARLEY, RAW)),
    Goal("500 streams, stretch", "3.15", 1.05, _table(PARLEY, "stretch")),
    Goal("500 streams, PSS", "136", 95, _table(PARLEY, "pss_mb"), unit="MB"),
    Goal("burst, CPU a token", "105", 15, _table(PARLEY, "burst_us"), unit="us"),
    Goal("added time to first token, 16 streams", "11.8", 3, _table(PARLEY, "added_first_ms"), unit="ms"),
    Goal("CPU of PostgreSQL a turn", "5.9", 1.2, _table(PARLEY, "PostgreSQL_ms"), unit="ms"),
    *(
        Goal(
            f"PostgreSQL {version}, {what}",
            before,
            limit,
            _ledger(version, fsync, name),
            is_rate=True,
            unit="turns/s",
        )
        for version in (15, 17, 18)
        for what, fsync, name, before, limit in (
            ("4 clients", "off", "turns_s_4", "570", 1800),
            ("16 clients, fsync", "on", "turns_s_16", "273", 700),
        )
    ),
    *(
        Goal(f"PostgreSQL {version}, CPU of begin + finish", before, 1.2, _ledger(version, "off", "cpu_ms"), unit="ms")
        for version, before in ((15, "9.6"), (17, "10.6"), (18, "3.2"))
    ),
    Goal("a user's slowest own page, 1,000,000 rows", "28-612", 1, _slowest_page, unit="ms"),
    Goal("the slowest report, a year of 1,000,000 turns, CPU", "", 300, _slowest_report, unit="ms"),
    Goal("begin in 2,000 messages", "12-15", 3, one("growth", growth.LONG, "begin_ms"), unit="ms"),
    Goal("cold, chat's first token / hello", "2.0-2.5", 1.7, _over("cold_ms", PARLEY, HELLO)),
    Goal("cold, llms /health / hello", "1.4-1.8", 1.5, _over("cold_ms", LLMS, HELLO)),
)


def goals_text(blocks: Blocks) -> str:
    """The table of goals; those of blocks that did not run are left out."""
    rows = [goal.row(blocks) for goal in GOALS]
    kept = [row for row in rows if row[-1]]
    skipped = [row[0] for row in rows if not row[-1]]
    text = figures.table(["goal", "before", "goal is", "measured", ""], kept) if kept else ""
    return text + (f"\nnot measured: {'; '.join(skipped)}" if skipped else "")
