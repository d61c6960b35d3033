"""The lease of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import CoroutineType

import pytest

from functions.refresh import runs
from functions.refresh.runs import Run, begin_run, lease_extended
from shared.errors import DatabaseUnavailable
from tests.fakes.supabase import Project

pytestmark = pytest.mark.anyio
RUN = Run("11111111-2222-4333-8444-555555555555", 7)
EXTEND = "/rest/v1/rpc/extend_lease"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_EXTEND_SECONDS", 0.0)


async def test_a_run_whose_row_cannot_be_written_releases_its_lease(project: Project) -> None:
    """The error is raised, and the next run can start before the end of the lease."""
    project.answers |= {
        "/rest/v1/rpc/take_lease": (200, 7),
        "/rest/v1/refresh_runs": (503, {"message": "down", "code": "PGRST000", "details": None, "hint": None}),
        "/rest/v1/rpc/release_lease": (200, True),
    }
    with pytest.raises(DatabaseUnavailable):
        await begin_run("cron", is_dry_run=False)
    (released,) = project.asked_of("release_lease")
    assert (released["job"], released["fence"]) == ("refresh", 7)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the project on loopback has no event of its own
            await asyncio.sleep(0)


def _is_extending() -> bool:
    coroutines = [task.get_coro() for task in asyncio.all_tasks()]
    return any(isinstance(each, CoroutineType) and each.cr_code.co_filename == runs.__file__ for each in coroutines)


@pytest.mark.parametrize("answer", [(200, True), (503, "down")])
async def test_it_is_extended_while_the_run_goes_on(project: Project, answer: tuple[int, object]) -> None:
    """The lease is extended regularly, also after a failed call, and not after the run."""
    project.answers[EXTEND] = answer
    async with lease_extended(RUN):
        await _until(lambda: len(project.asked_of("extend_lease")) >= 3)
    asked = project.asked_of("extend_lease")
    assert asked[0] == {"job": "refresh", "holder_id": RUN.id, "fence": 7, "ttl_seconds": 45}
    assert not _is_extending()


async def test_a_lease_that_has_gone_is_left_alone(project: Project) -> None:
    """A lease that another run took over is not extended."""
    project.answers[EXTEND] = (200, None)
    async with lease_extended(RUN):
        await _until(lambda: bool(project.asked_of("extend_lease")))
        await _until(lambda: not _is_extending())
    assert len(project.asked_of("extend_lease")) == 1


async def test_a_run_that_fails_ends_it_too(project: Project) -> None:
    """The error of the body is raised."""
    project.answers[EXTEND] = (200, True)
    with pytest.raises(ZeroDivisionError):
        async with lease_extended(RUN):
            raise ZeroDivisionError
    assert not _is_extending()
