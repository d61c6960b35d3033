"""The step `retention`: settings and batches."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.refresh import retention
from shared.errors import NotConfigured
from tests.fakes.supabase import Project
from tests.refresh_steps import run_step

pytestmark = pytest.mark.anyio

_PURGE = "/rest/v1/rpc/purge_logs"


async def test_without_a_number_of_days_everything_is_kept(project: Project) -> None:
    """Without LOG_RETENTION_DAYS the step makes no request to the database."""
    outcome = await run_step(retention.run, is_dry_run=False)
    assert outcome == {"ok": True, "purged": 0, "batches": 0, "kept": "for ever"}
    assert project.asked == []


async def test_batches_go_until_one_comes_back_short(project: Project, environ: Callable[..., None]) -> None:
    """The step ends after a batch that was not full."""
    environ(SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x", LOG_RETENTION_DAYS="30")
    project.answers[_PURGE] = (200, 12)
    assert await run_step(retention.run, is_dry_run=False) == {"ok": True, "purged": 12, "batches": 1}
    assert project.asked_of("purge_logs") == [{"retention_days": 30, "batch_size": 5000}]


async def test_full_batches_end_with_the_minute(
    project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large backlog takes several runs."""
    environ(SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x", LOG_RETENTION_DAYS="30")
    project.answers[_PURGE] = (200, 5000)
    clock = iter(range(0, 1000, 25))
    monkeypatch.setattr(retention, "clock", lambda: next(clock))
    assert await run_step(retention.run, is_dry_run=False) == {"ok": True, "purged": 10000, "batches": 2}


async def test_a_dry_run_deletes_nothing(project: Project, environ: Callable[..., None]) -> None:
    """A dry run only reads the setting."""
    environ(SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x", LOG_RETENTION_DAYS="30")
    assert await run_step(retention.run, is_dry_run=True) == {"ok": True, "purged": 0, "batches": 0}
    assert project.asked == []


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "ten", "²", "٣", "1" * 40])
async def test_a_value_that_is_no_number_of_days_is_named(
    project: Project, environ: Callable[..., None], value: str
) -> None:
    """A wrong value raises NotConfigured and deletes nothing."""
    environ(SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x", LOG_RETENTION_DAYS=value)
    with pytest.raises(NotConfigured, match="LOG_RETENTION_DAYS"):
        await run_step(retention.run, is_dry_run=False)
    assert project.asked == []
