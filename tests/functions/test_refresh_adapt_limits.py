"""The step `limits`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.refresh import adapt_limits
from tests.fakes.supabase import Project
from tests.refresh_steps import run_step

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("is_dry_run", [False, True])
async def test_a_dry_run_only_counts(project: Project, environ: Callable[..., None], is_dry_run: bool) -> None:
    """The outcome has the number of changed caps, or of those that would change."""
    environ(SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x")
    project.answers["/rest/v1/rpc/adapt_limits"] = (200, 2)
    assert await run_step(adapt_limits.run, is_dry_run=is_dry_run) == {"ok": True, "changed": 2}
    assert project.asked_of("adapt_limits") == [{"is_dry_run": is_dry_run}]
