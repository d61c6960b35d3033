"""Resumable turns: what they add to the first token, what they write, and a hundred of them at once."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
import psycopg

from bench.function import running
from bench.load import Load
from bench.project import add_model, lift_caps
from bench.targets import Target
from bench.upstream import Script
from local.environment import ROOT
from local.users import access_token
from tests.stack_process import free_ports

_ROUNDS, _WARM_UP = 60, 10
_STREAMS = 100
_USERS = 20
_SHORT = Script(first_ms=20, tokens=8, every_ms=10)
_LONG = Script(first_ms=50, tokens=400, every_ms=20)
_MAX_ADDED_MS, _MAX_STATEMENTS = 2, 1 / 0.3


def measure(stack: Mapping[str, str]) -> None:
    """Prints the time to the first token with and without the field, and the load of a hundred streams."""
    tokens = tuple(
        access_token(stack["SUPABASE_URL"], stack["SUPABASE_SERVICE_KEY"], f"bench-r{number}@parley.local")
        for number in range(_USERS)
    )
    with psycopg.connect(stack["DATABASE_URL"], autocommit=True) as db, _upstream() as address:
        lift_caps(db)
        for script in (_SHORT, _LONG):
            add_model(db, script.model)
        values = {**stack, "OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": address}
        with running("chat", values) as (url, _):
            _first_tokens(url, tokens[0])
            for is_resumable in (False, True):
                _hundred(url, tokens, db, is_resumable=is_resumable)


@contextmanager
def _upstream() -> Iterator[str]:
    port = free_ports()
    process = subprocess.Popen([sys.executable, "-m", "bench.upstream", str(port)], cwd=ROOT)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _first_tokens(url: str, token: str) -> None:
    """Alternates plain and resumable turns, so that both see the same load."""
    found: dict[bool, list[float]] = {False: [], True: []}
    with httpx.Client(timeout=30) as client:
        for number in range(_ROUNDS + _WARM_UP):
            for is_resumable, times in found.items():
                taken = _first_token_ms(client, url, token, is_resumable=is_resumable)
                if number >= _WARM_UP:
                    times.append(taken)
    plain, resumable = (statistics.median(found[each]) for each in (False, True))
    print(f"resumable, time to first token, one caller, {_ROUNDS} rounds each, stored turns")
    print(f"  plain       p50 {plain:7.2f} ms   p95 {statistics.quantiles(found[False], n=20)[-1]:7.2f} ms")
    print(f"  resumable   p50 {resumable:7.2f} ms   p95 {statistics.quantiles(found[True], n=20)[-1]:7.2f} ms")
    print(f"  added       p50 {resumable - plain:7.2f} ms   (aim: under {_MAX_ADDED_MS})")


def _first_token_ms(client: httpx.Client, url: str, token: str, *, is_resumable: bool) -> float:
    body = {"message": "Say something.", "model": f"openai:{_SHORT.model}", "resumable": is_resumable}
    first_ms = 0.0
    started = time.perf_counter()
    with client.stream("POST", url, json=body, headers={"Authorization": f"Bearer {token}"}) as response:
        for line in response.iter_lines():
            if not first_ms and "text-delta" in line:
                first_ms = (time.perf_counter() - started) * 1000
    if not first_ms:
        raise SystemExit(f"{url} answered {response.status_code} without a token")
    return first_ms


def _hundred(url: str, tokens: tuple[str, ...], db: psycopg.Connection[tuple[int, ...]], *, is_resumable: bool) -> None:
    target = Target("chat", httpx.URL(url).port or 0, prefix="openai:", is_ui=True, tokens=tokens)
    requests = target.requests(_LONG, stream=True)
    if is_resumable:
        requests = [_resumable(request) for request in requests]
    ideal = (_LONG.first_ms + _LONG.tokens * _LONG.every_ms) / 1000

    async def load() -> tuple[Load, float]:
        made = Load(target.port, requests)
        await made.open(_STREAMS, ramp_seconds=1)
        await made.wait_until_all_have_begun(10)
        return made, await made.end()

    made, seconds = asyncio.run(load())
    row = db.execute(
        """select count(*), max(p.kept_at) filter (where p.is_last) is not null from private.turn_pieces as p
           join private.turns as r on r.id = p.turn_id where r.started_at > now() - make_interval(secs => %s)""",
        [seconds + 5],
    ).fetchone()
    kept = row[0] if row else 0
    name = "resumable" if is_resumable else "plain"
    print(f"{name}, {_STREAMS} streams of {1000 // _LONG.every_ms} tokens a second for {ideal:.0f} s")
    print(
        f"  tokens {made.tokens} of {_STREAMS * _LONG.tokens}, errors {len(made.errors)}, ended after {seconds:.1f} s"
    )
    if is_resumable:
        aim = f"at most {_MAX_STATEMENTS:.2f}, or one a kilobyte"
        print(f"  pieces a stream and second {kept / _STREAMS / ideal:.2f}   (aim: {aim})")


def _resumable(request: bytes) -> bytes:
    """The request with the field in its body."""
    head, _, body = request.partition(b"\r\n\r\n")
    changed = json.dumps(json.loads(body) | {"resumable": True}).encode()
    length = f"Content-Length: {len(body)}".encode()
    return head.replace(length, f"Content-Length: {len(changed)}".encode()) + b"\r\n\r\n" + changed
