"""The cache of answers: the calls of its database functions.

Lookups that arrive while another call runs go together in the next one: many hits cost one round trip.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared import ledger_calls, supabase
from shared.errors import DatabaseUnavailable, InternalError, ParleyError
from shared.log import log
from shared.provider_config import deployment

RENEW_SECONDS: Final = 5.0  # the lease is 15 s
_MAX_LOOKUPS = 50  # of one call
_MAX_CALLS = 2  # at once


@dataclass(frozen=True, slots=True)
class Found:
    """A result of `find_insights`; `output` is the JSON of a hit or replay, None otherwise."""

    outcome: str
    fields: dict[str, Any]
    output: bytes | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to compute the answer of a key; `fence` is None while another one holds the lease, too."""

    cache_key: str | None
    holder_id: str
    fence: int | None

    @property
    def fields(self) -> dict[str, Any]:
        """As the database functions take it."""
        return {"cache_key": self.cache_key, "holder_id": self.holder_id, "fence": self.fence}


class _Lookups:
    """Lookups that wait for a call."""

    def __init__(self) -> None:
        self._waiting: list[tuple[dict[str, Any], asyncio.Future[Found]]] = []
        self._calls: set[asyncio.Task[None]] = set()

    async def find(self, lookup: dict[str, Any]) -> Found:
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((lookup, future))
        if len(self._calls) < _MAX_CALLS:
            call = asyncio.create_task(self._send())
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        return await future

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MAX_LOOKUPS], self._waiting[_MAX_LOOKUPS:]
            try:
                found = await _called([lookup for lookup, _ in batch])
                results = [_result(found, lookup["turn_id"]) for lookup, _ in batch]
            except Exception as error:  # noqa: BLE001 - every caller of the batch gets it
                failure = error if isinstance(error, ParleyError) else InternalError()
                for _, future in batch:
                    if not future.done():
                        future.set_exception(failure)
            else:
                for (_, future), result in zip(batch, results, strict=True):
                    if not future.done():
                        future.set_result(result)


async def _called(lookups: list[dict[str, Any]]) -> dict[str, Any]:
    arguments = {"lookups": lookups, "deployment": deployment()}
    found: dict[str, Any] = await ledger_calls.call("find_insights", arguments, supabase.as_service)
    found["outputs"] = {number: orjson.dumps(output) for number, output in found["outputs"].items()}
    return found


def _result(found: dict[str, Any], turn_id: str) -> Found:
    fields: dict[str, Any] = found["results"][turn_id]
    outcome = fields["outcome"]
    if outcome == "hit":
        return Found(outcome, fields, found["outputs"][str(fields["insight_id"])])
    return Found(outcome, fields, orjson.dumps(fields["output"]) if outcome == "replay" else None)


_lookups: dict[asyncio.AbstractEventLoop, _Lookups] = {}


async def find(lookup: dict[str, Any]) -> Found:
    """What the cache has for this lookup of `find_insights`. Raises DatabaseUnavailable, NotConfigured."""
    loop = asyncio.get_running_loop()
    if loop not in _lookups:
        _lookups.clear()  # those of a closed loop
        _lookups[loop] = _Lookups()
    return await _lookups[loop].find(lookup)


async def keep_lease(lease: Lease) -> None:
    """Renews the lease until it is cancelled, or until the lease is lost."""
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        try:
            if not await ledger_calls.call("renew_insight_lease", {"lease": lease.fields}, supabase.as_service):
                return
        except DatabaseUnavailable:
            continue


async def release(lease: Lease, error_code: str | None) -> None:
    """Ends the lease without an answer; those who wait get the error, or compute when it is None. Never raises."""
    arguments = {"lease": lease.fields | {"error_code": error_code}}
    try:
        await ledger_calls.call("release_insight_lease", arguments, supabase.as_service)
    except ParleyError as error:  # the lease ends by itself
        log("lease_not_released", error=error.code)
