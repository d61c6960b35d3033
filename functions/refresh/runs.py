"""The lease that allows one run at a time, and the row of each run.

The rows are written with supabase-py, because `shared.supabase` only reads tables and calls functions.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from postgrest import ReturnMethod

from shared import supabase
from shared.errors import AlreadyRunning, ParleyError
from shared.log import log, origin_of
from shared.supabase_py import database_errors, service_client
from supabase import AsyncClient

_JOB = "refresh"
_LEASE_SECONDS = 45  # then the next run can start, even if this one was killed
_EXTEND_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Run:
    """A run that holds the lease; its `fence` is higher than the fence of every earlier run."""

    id: str
    fence: int


async def begin_run(trigger: str, *, is_dry_run: bool) -> Run:
    """Takes the lease, closes the rows of killed runs and writes the run's own.

    Raises AlreadyRunning, DatabaseUnavailable.
    """
    run_id = str(uuid.uuid4())
    with database_errors():
        client = await service_client()
        lease = {"job": _JOB, "holder_id": run_id, "ttl_seconds": _LEASE_SECONDS}
        fence: Any = (await client.rpc("take_lease", lease).execute()).data
        if fence is None:
            raise AlreadyRunning("A refresh is running already.", retry_after_seconds=30)
        run = Run(run_id, int(fence))
        abandoned = {"status": "abandoned", "finished_at": datetime.now(UTC).isoformat()}
        row = {"id": run_id, "trigger": trigger, "is_dry_run": is_dry_run, "fence": fence}
        try:
            # No other run holds the lease, so an earlier row that is still running belongs to a killed run.
            rows = client.table("refresh_runs").update(abandoned, returning=ReturnMethod.minimal)
            await rows.eq("status", "running").lt("fence", fence).execute()
            await client.table("refresh_runs").insert(row, returning=ReturnMethod.minimal).execute()
        except BaseException:
            await _release(client, run)  # otherwise no run can start until the lease expires
            raise
    return run


@asynccontextmanager
async def lease_extended(run: Run) -> AsyncIterator[None]:
    """Extends the lease every 15 seconds while the block runs. merge_models() checks the fence."""
    extender = asyncio.create_task(_extend_until_lost(run))
    try:
        yield
    finally:
        extender.cancel()
        (error,) = await asyncio.gather(extender, return_exceptions=True)
        if isinstance(error, Exception):  # not the cancellation
            log("crash", error=origin_of(error))


async def _extend_until_lost(run: Run) -> None:
    lease = {"job": _JOB, "holder_id": run.id, "fence": run.fence, "ttl_seconds": _LEASE_SECONDS}
    is_held: Any = True
    while is_held:
        await asyncio.sleep(_EXTEND_SECONDS)
        try:
            is_held = await supabase.rpc("extend_lease", lease, supabase.as_service())
        except ParleyError:
            continue  # the lease lasts for two more attempts


async def end_run(
    run: Run, status: str, steps: dict[str, Any], sync_results: dict[str, Any], changes: list[str]
) -> None:
    """Completes the run's row and releases the lease. Raises DatabaseUnavailable; the lease then expires."""
    ended = {
        "status": status,
        "steps": steps,
        "sync_results": sync_results,
        "changes": changes,
        "finished_at": datetime.now(UTC).isoformat(),
    }
    with database_errors():
        client = await service_client()
        await client.table("refresh_runs").update(ended, returning=ReturnMethod.minimal).eq("id", run.id).execute()
        await _release(client, run)


async def _release(client: AsyncClient, run: Run) -> None:
    await client.rpc("release_lease", {"job": _JOB, "holder_id": run.id, "fence": run.fence}).execute()
