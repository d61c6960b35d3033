"""The scripts for pgbench, and its output."""

from __future__ import annotations

from bench.ledger import insert_script, parse_pgbench, turn_script

_OUTPUT = """\
number of failed transactions: 0 (0.000%)
latency average = 2.986 ms
initial connection time = 5.1 ms
tps = 334.747323 (without initial connection time)
statement latencies in milliseconds and failures:
         0.001           0  \\set number random(1, 999999999999)
         0.000           0  \\set person random(1, 64)
         1.692           0  /* begin */ begin\\; select set_config('role', 'authenticated', true)
         1.289           0  /* finish */ begin\\; select set_config('role', 'service_role', true)
"""


def test_the_output_gives_the_rate_and_the_named_commands() -> None:
    """Commands without a name, such as pgbench's own, have no figure."""
    timed = parse_pgbench(_OUTPUT)
    assert timed.rate == 334.747323
    assert timed.latencies_ms == {"begin": 1.692, "finish": 1.289}


def test_each_call_is_one_message_with_its_own_transaction() -> None:
    """A turn is two round trips, each from begin to commit on one line, as PostgREST sends them."""
    lines = [line for line in turn_script().splitlines() if not line.startswith("\\set")]
    assert [line.split("*/")[0].strip("/* ") for line in lines] == ["begin", "finish"]
    assert all("*/ begin\\; select set_config('role'" in line and line.endswith("\\; commit;") for line in lines)
    assert insert_script().count("commit;") == 1
