"""The warm model list: requests per second and core, and its time beside a bare functions-framework hello."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping

import aiohttp

from bench.function import running
from bench.processes import cpu_seconds
from local.users import access_token
from tests.providers import KEYS

_CLIENTS = 32
_SECONDS = 4.0
_ROUNDS = 400
_WARM_UP = 50


def measure(stack: Mapping[str, str]) -> None:
    """Prints both for the list and for a 304."""
    asyncio.run(_measure(stack))


async def _measure(stack: Mapping[str, str]) -> None:
    token = access_token(stack["SUPABASE_URL"], stack["SUPABASE_SERVICE_KEY"], "bench@parley.local")
    signed_in = {"Authorization": f"Bearer {token}"}
    with running("hello", stack) as (hello, hello_pid), running("llms", {**stack, **KEYS}) as (llms, llms_pid):
        async with aiohttp.ClientSession() as session, session.get(llms, headers=signed_in) as first:
            known = signed_in | {"If-None-Match": first.headers["ETag"]}
            size = len(await first.read())
            targets = {"bare hello": (hello, {}), "llms, list": (llms, signed_in), "llms, 304": (llms, known)}
            times = await _alternating(session, targets)
            print(f"llms GET /, warm, a list of {size} bytes; alternating, {_ROUNDS} rounds, then {_CLIENTS} clients")
            for name, (url, headers) in targets.items():
                rate, per_core = await _concurrent(session, url, headers, hello_pid if url == hello else llms_pid)
                added = times[name] - times["bare hello"]
                print(
                    f"  {name:11s} p50 {times[name]:6.2f} ms   added {added:5.2f} ms   "
                    f"{rate:6.0f} requests/s   {per_core:6.0f} per second of one core"
                )
            print("  (aim: 1000 a core, under 3 ms added)")


async def _alternating(
    session: aiohttp.ClientSession, targets: Mapping[str, tuple[str, Mapping[str, str]]]
) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in targets}
    for _ in range(_ROUNDS + _WARM_UP):
        for name, (url, headers) in targets.items():
            started = time.perf_counter()
            await _get(session, url, headers)
            taken[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(times[_WARM_UP:]) for name, times in taken.items()}


async def _concurrent(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str], pid: int
) -> tuple[float, float]:
    served = 0
    deadline = time.perf_counter() + _SECONDS

    async def repeat() -> None:
        nonlocal served
        while time.perf_counter() < deadline:
            await _get(session, url, headers)
            served += 1

    used = cpu_seconds({"own": pid})["own"]
    await asyncio.gather(*(repeat() for _ in range(_CLIENTS)))
    return served / _SECONDS, served / max(cpu_seconds({"own": pid})["own"] - used, 0.01)


async def _get(session: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> None:
    async with session.get(url, headers=headers) as response:
        if response.status not in {200, 304}:
            raise SystemExit(f"{url} answered {response.status}")
        await response.read()
