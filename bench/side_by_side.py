"""The table: Parley beside a raw pass-through, a bare hello and other gateways, in one run with interleaved rounds.

All get the same requests and the same scripted upstream, which runs in its own process. The upstream and the callers
share the last core. One caller, streams and cold starts find the target on the other cores; 64 callers find it on all.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import uvloop

from bench import figures, processes
from bench.figures import Column, Figures, Sample
from bench.load import Load
from bench.project import Project, bench_stack, prepare_project
from bench.run import Run
from bench.starting import Unmeasured, started
from bench.targets import Target, all_targets, llms_target
from bench.upstream import Script
from local.environment import ROOT
from tests.stack_process import free_ports

UNARY, WARM_STREAM = Script(0, 16, 0), Script(0, 16, 1)
STREAM, BURST, HELD = Script(50, 64, 5), Script(0, 256, 0), Script(50, 1000, 20)
SCRIPTS = (UNARY, WARM_STREAM, STREAM, BURST, HELD)
REFERENCE = "raw pass-through"
HELD_STREAMS, _HELD_TOKENS_A_SECOND, _BEGIN_SECONDS = 500, 1000 / HELD.every_ms, 20.0
_CORES = sorted(os.sched_getaffinity(0))
_OURS, _THEIRS = _CORES[-1:], _CORES[:-1] or _CORES

COLUMNS = (
    Column("added p50 ms", "added_ms", 2),
    Column("turns/s", "turns_s", 0, is_rate=True),
    Column("own CPU ms", "own_ms", 2),
    Column("+ stand-in", "stand-in_ms", 2),
    Column("+ PostgreSQL", "PostgreSQL_ms", 2),
    Column("500 streams: us a token", "held_us", 0),
    Column("stretch", "stretch", 2),
    Column("PSS MB", "pss_mb", 0),
    Column("burst: us a token", "burst_us", 0),
    Column("added first token ms", "added_first_ms", 1),
    Column("cold ms", "cold_ms", 0),
    Column("errors", "errors", 0),
    Column("noise cores", "noise_cores", 2),
)


@dataclass(frozen=True, slots=True)
class _Bench:
    """What every measurement needs: the durations, and the processes that are not noise."""

    run: Run
    upstream_pid: int


def measure(run: Run) -> Figures:
    """Prints the table; its figures by target."""
    samples: dict[str, list[Sample]] = {}
    with (
        bench_stack("--no-model") as (stack, roots),
        _serving_upstream() as (port, pid),
        tempfile.TemporaryDirectory() as name,
    ):
        project = prepare_project(stack, roots, SCRIPTS)
        targets, llms = all_targets(project, port, Path(name)), llms_target(project)
        os.sched_setaffinity(0, _OURS)
        try:
            for number in range(run.rounds):
                for target in (*targets, llms):
                    try:
                        sample = _measure_target(_Bench(run, pid), project, target)
                    except Unmeasured as reason:
                        print(f"  round {number + 1}, {reason}", file=sys.stderr)
                        continue
                    samples.setdefault(target.name, []).append(sample)
                    print(f"  round {number + 1}, {target.name}: noise {sample.noise_cores:.2f}", file=sys.stderr)
        finally:
            os.sched_setaffinity(0, _CORES)
    found = with_added({name: figures.median_of(taken) for name, taken in samples.items()})
    rounds = "1 round" if run.rounds == 1 else f"medians of {run.rounds} interleaved rounds"
    print(f"side by side on {len(_CORES)} cores, {rounds}")
    print(figures.tables(found, COLUMNS, REFERENCE))
    return found


def with_added(found: Figures) -> Figures:
    """The figures of each target with what it adds to the upstream's own latency; the upstream itself is left out."""
    base = found.pop("upstream itself", {})
    for values in found.values():
        for name, added in (("latency_ms", "added_ms"), ("first_ms", "added_first_ms")):
            if name in values and name in base:
                values[added] = values[name] - base[name]
    return found


@contextmanager
def _serving_upstream() -> Iterator[tuple[int, int]]:
    """The port and the process id of the scripted upstream."""
    port = free_ports()
    command = [sys.executable, "-m", "bench.upstream", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None  # noqa: S101 - stdout is a pipe
        process.stdout.readline()
        processes.pin([process.pid], _OURS)
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


def _measure_target(bench: _Bench, project: Project, target: Target) -> Sample:
    """Starts the target, measures it and ends it."""
    if not target.command:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_loads(bench, project, target, {}))
    processes.wait_until_quiet(bench.run.quiet_seconds)
    with started(target, _THEIRS) as (process, cold_ms), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sample = runner.run(_loads(bench, project, target, {"own": process.pid, **target.roots}))
    return Sample({"cold_ms": cold_ms, **sample.values}, sample.noise_cores)


async def _loads(bench: _Bench, project: Project, target: Target, roots: dict[str, int]) -> Sample:
    """The figures of one running target."""
    seconds, values, noise = bench.run.seconds, {"errors": 0.0}, []
    own = processes.tree(roots["own"]) if roots else set()

    async def take(callers: int, script: Script, *, stream: bool = False) -> tuple[Load, dict[str, float], float]:
        load = Load(target.port, target.requests(script, stream=stream))
        with _Usage(bench, roots) as usage:
            await load.open(callers)
            await asyncio.sleep(seconds)
            took = await load.end()
        noise.append(usage.noise_seconds / took)
        values["errors"] += len(load.errors)
        _require_answers(target, load, len(load.latencies_ms))
        return load, usage.cpu_seconds, took

    if "unary" in target.loads:
        await take(64, UNARY)  # the first call on each connection of a pool costs more
        load, _, _ = await take(1, UNARY)
        values["latency_ms"] = statistics.median(load.latencies_ms)
    if "streams" in target.loads:
        await take(8, WARM_STREAM, stream=True)
        load, _, _ = await take(16, STREAM, stream=True)
        values["first_ms"] = statistics.median(load.first_token_ms)
    if roots and "streams" in target.loads:
        load, used, _ = await take(16, BURST, stream=True)
        values["burst_us"] = used["own"] * 1e6 / load.tokens
    if roots and "unary" in target.loads:
        processes.pin(own, _CORES)
        load, used, took = await take(64, UNARY)
        processes.pin(own, _THEIRS)
        turns = len(load.latencies_ms)
        values["turns_s"] = turns / took
        values |= {f"{name}_ms": cpu * 1000 / turns for name, cpu in used.items()}
    if roots and "hold" in target.loads:  # last: some programs go on reading the upstream after the hang-up
        held = await _hold(bench, target, roots)
        values |= held | {"errors": values["errors"] + held["errors"]}
        await asyncio.to_thread(project.wait_for_open_turns)
    return Sample(values | {"noise_cores": max(noise, default=0.0)}, max(noise, default=0.0))


async def _hold(bench: _Bench, target: Target, roots: dict[str, int]) -> dict[str, float]:
    """500 long streams: what a token costs while all are open, and how much slower than the upstream they are."""
    load = Load(target.port, target.requests(HELD, stream=True))
    await load.open(HELD_STREAMS, bench.run.ramp_seconds)
    await asyncio.sleep(bench.run.ramp_seconds)
    await load.wait_until_all_have_begun(_BEGIN_SECONDS)
    tokens, begin = load.tokens, time.perf_counter()
    with _Usage(bench, roots) as usage:
        await asyncio.sleep(bench.run.hold_seconds)
        tokens, took = load.tokens - tokens, time.perf_counter() - begin
    pss_mb = processes.pss_mb(roots["own"])
    load.hang_up()
    _require_answers(target, load, tokens)
    return {
        "held_us": usage.cpu_seconds["own"] * 1e6 / tokens,
        "stretch": HELD_STREAMS * _HELD_TOKENS_A_SECOND * took / tokens,
        "pss_mb": pss_mb,
        "errors": len(load.errors),
    }


class _Usage:
    """CPU seconds of the named processes, and of programs that do not belong to this run, in a `with` block."""

    def __init__(self, bench: _Bench, roots: dict[str, int]) -> None:
        self._roots = roots
        self._all = roots | {"bench": os.getpid(), "upstream": bench.upstream_pid}
        self.cpu_seconds: dict[str, float] = {}
        self.noise_seconds = 0.0

    def __enter__(self) -> Self:
        self._before, self._busy = processes.cpu_seconds(self._all), processes.busy_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        after, busy = processes.cpu_seconds(self._all), processes.busy_seconds()
        used = {name: after[name] - self._before[name] for name in self._all}
        self.cpu_seconds = {name: used[name] for name in self._roots}
        # The tree of the bench holds the targets and the stack, so it is not a sum of its own.
        self.noise_seconds = max(0.0, busy - self._busy - used["bench"] - used.get("PostgreSQL", 0.0))


def _require_answers(target: Target, load: Load, answers: int) -> None:
    """Prints the first error. Raises Unmeasured when there is no answer to measure."""
    if load.errors:
        print(f"  {target.name}: {len(load.errors)} errors, the first: {load.errors[0]}", file=sys.stderr)
    if not answers:
        raise Unmeasured(f"{target.name} gave no answer")
