"""`python -m bench`: all measurements on their own stack."""

from __future__ import annotations

from bench import analyze, chaos, chunks, cold_start, latency, ledger, llms, redaction, refresh, units
from tests.stack_process import data_folder, free_ports, running_stack


def main() -> None:
    """Prints one block per measurement."""
    chunks.measure()
    redaction.measure()
    analyze.measure()
    with data_folder() as data, running_stack(data, free_ports(), "--no-reload") as stack:
        latency.measure(stack.values)
        cold_start.measure(stack.values)
        units.measure(stack.values)
        llms.measure(stack.values)
        chaos.measure(stack.values)
        ledger.measure(stack.values)
        refresh.measure(stack.values)  # last, as it adds two thousand models


if __name__ == "__main__":
    main()
