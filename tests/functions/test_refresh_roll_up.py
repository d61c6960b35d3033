"""The step `rollup`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.refresh import roll_up
from tests.fakes.supabase import Project
from tests.refresh_steps import run_step

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("is_dry_run", "measured", "profiles"), [(False, 2, 3), (True, 0, 0)])
async def test_the_database_learns_and_a_dry_run_does_not(
    project: Project, environ: Callable[..., None], is_dry_run: bool, measured: int, profiles: int
) -> None:
    """The outcome has the number of measured models and of changed profiles."""
    environ(SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x")
    project.answers["/rest/v1/rpc/measure_models"] = (200, 2)
    project.answers["/rest/v1/rpc/roll_up_profiles"] = (200, 3)
    project.answers["/rest/v1/rpc/measure_next_agents"] = (200, 0)
    assert await run_step(roll_up.run, is_dry_run=is_dry_run) == {
        "ok": True,
        "measured": measured,
        "profiles": profiles,
        "agents": 0,
    }
    assert len(project.asked_of("roll_up_profiles")) == int(not is_dry_run)
