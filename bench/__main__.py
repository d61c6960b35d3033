"""`python -m bench [--quick] [NAME…]`: the named blocks, or all. Each starts what it needs and ends it."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from bench import (
    analyze,
    assist,
    chaos,
    chunks,
    cold_start,
    growth,
    latency,
    ledger,
    llms,
    redaction,
    refresh,
    reports,
    resumable,
    search,
    side_by_side,
    training_export,
    units,
)
from bench.figures import Figures
from bench.goals import goals_text
from bench.project import bench_stack
from bench.run import FULL, QUICK, Run

TABLE: Mapping[str, Callable[[Run], Figures]] = {
    "side_by_side": side_by_side.measure,
    "ledger": ledger.measure,
    "growth": growth.measure,
    "reports": reports.measure,
}
ALONE: Mapping[str, Callable[[Run], None]] = {
    "chunks": lambda _: chunks.measure(),
    "redaction": lambda _: redaction.measure(),
    "analyze": lambda _: analyze.measure(),
    "search": search.measure,
}
ON_A_STACK: Mapping[str, Callable[[Mapping[str, str]], None]] = {
    "latency": latency.measure,
    "resumable": resumable.measure,
    "cold_start": cold_start.measure,
    "units": units.measure,
    "llms": llms.measure,
    "assist": assist.measure,
    "chaos": chaos.measure,
    "training_export": training_export.measure,
    "refresh": refresh.measure,  # last, as it adds two thousand models
}
NAMES = (*TABLE, *ALONE, *ON_A_STACK)


def main() -> None:
    """Prints one block for each name, then the goals that the blocks have figures for."""
    # A run in the background ignores SIGINT, and SIGTERM would leave the stack running.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    options = _options()
    run = QUICK if options.quick else FULL
    names = options.names or (list(TABLE) if options.quick else list(NAMES))
    found = {name: TABLE[name](run) for name in TABLE if name in names}
    for name in [each for each in ALONE if each in names]:
        ALONE[name](run)
    with _stack_when_needed() as values:
        for name in [each for each in ON_A_STACK if each in names]:
            ON_A_STACK[name](values())
    if found:
        print("goals")
        print(goals_text(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure speed and size.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="one short round; by default only " + ", ".join(TABLE))
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return options


@contextmanager
def _stack_when_needed() -> Iterator[Callable[[], Mapping[str, str]]]:
    """A function that returns the variables of one stack, which its first call starts."""
    with ExitStack() as opened:
        found: list[Mapping[str, str]] = []

        def values() -> Mapping[str, str]:
            if not found:
                stack, _ = opened.enter_context(bench_stack())
                found.append(stack.values)
            return found[0]

        yield values


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; nothing is left running")
