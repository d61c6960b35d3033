"""The start of a measured program."""

from __future__ import annotations

import os
import sys

import pytest

from bench.processes import tree
from bench.starting import Unmeasured, started
from bench.targets import Target
from local.environment import ROOT
from tests.stack_process import free_ports

pytestmark = pytest.mark.processes


def _upstream() -> Target:
    port = free_ports()
    return Target("upstream", port, (sys.executable, "-m", "bench.upstream", str(port)), dict(os.environ), ROOT)


def test_a_program_runs_from_its_first_token_to_the_end_of_the_block() -> None:
    """The time to the first token is measured, and nothing of the program is left."""
    with started(_upstream(), os.sched_getaffinity(0)) as (process, cold_ms):
        assert tree(process.pid) == {process.pid}
        assert cold_ms > 0
    assert tree(process.pid) == set()


def test_a_program_that_ends_is_reported_with_its_output() -> None:
    """A program that does not start is unmeasured; the message has what it printed."""
    command = (sys.executable, "-c", "raise SystemExit('no such module')")
    broken = Target("broken", free_ports(), command, dict(os.environ))
    with pytest.raises(Unmeasured, match="broken did not answer: no such module"), started(broken, {0}):
        pass
