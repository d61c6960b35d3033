"""Closing dead turns and thinning settled ones, in batches."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.refresh import sweep
from tests.fakes.supabase import Project
from tests.refresh_steps import run_step

pytestmark = pytest.mark.anyio


async def test_each_function_is_called_until_a_batch_is_not_full(
    project: Project, environ: Callable[..., None]
) -> None:
    """All numbers are in the outcome."""
    environ(SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x")
    project.answers["/rest/v1/rpc/sweep_turns"] = (200, 3)
    project.answers["/rest/v1/rpc/thin_turns"] = (200, 4999)
    project.answers["/rest/v1/rpc/purge_api_keys"] = (200, 2)
    assert await run_step(sweep.run) == {"ok": True, "abandoned": 3, "thinned": 4999, "api_keys": 2}
    assert project.asked_of("sweep_turns") == [{"max_rows": 500}]
    assert project.asked_of("thin_turns") == [{"max_rows": 5000}]


async def test_a_backlog_takes_several_runs(project: Project, environ: Callable[..., None]) -> None:
    """A function whose batches stay full is called forty times."""
    environ(SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x")
    project.answers["/rest/v1/rpc/sweep_turns"] = (200, 0)
    project.answers["/rest/v1/rpc/thin_turns"] = (200, 5000)
    project.answers["/rest/v1/rpc/purge_api_keys"] = (200, 0)
    assert await run_step(sweep.run) == {"ok": True, "abandoned": 0, "thinned": 200_000, "api_keys": 0}


async def test_a_dry_run_changes_nothing(project: Project, environ: Callable[..., None]) -> None:
    """The database is not asked."""
    environ(SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x")
    assert await run_step(sweep.run, is_dry_run=True) == {"ok": True, "abandoned": 0, "thinned": 0, "api_keys": 0}
    assert project.asked == []
