"""The step `models`, over scripted sources and a scripted database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from functions.refresh import sync_catalogue
from functions.refresh.runs import Run
from functions.refresh.sources import ProviderModel, Source
from functions.refresh.step import StepContext, StepOutcome
from shared.errors import ProviderError
from tests.fakes.supabase import Project

pytestmark = pytest.mark.anyio
MERGE, NODES = "/rest/v1/rpc/merge_models", "/rest/v1/client_nodes"
MERGED = {"added": 1, "updated": 2, "missing": 0, "deactivated": 0, "changes": ["one"]}


@pytest.fixture
def failure() -> Exception:
    """How the list of Google fails."""
    return ProviderError("The provider google failed.")


@pytest.fixture(autouse=True)
def _sources(
    project: Project, environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    environ(
        SUPABASE_URL=project.url,
        SUPABASE_ANON_KEY="sb_publishable_x",
        SUPABASE_SERVICE_KEY="sb_secret_x",
        OPENAI_API_KEY="sk-ours",
        GOOGLE_API_KEY="AIzaOurs",
    )
    project.answers |= {NODES: (200, []), MERGE: (200, MERGED)}

    async def fetch(source: Source) -> list[ProviderModel]:
        if source.provider == "google":
            raise failure
        return [ProviderModel("gpt-4o")]

    monkeypatch.setattr(sync_catalogue, "fetch", fetch)


async def _run() -> StepOutcome:
    run = Run("11111111-2222-4333-8444-555555555555", 7)
    return await sync_catalogue.run(StepContext(run, is_dry_run=False))


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (ProviderError("The provider google failed."), "The provider google failed."),
        (RuntimeError("a secret"), "Something went wrong on our side."),
    ],
)
async def test_a_source_that_fails_leaves_the_others_to_be_merged(
    message: str,
) -> None:
    """Its error is listed without internals, the step is well, and the counts are those of the others."""
    outcome = await _run()
    assert outcome.ok
    assert outcome.sync is not None
    assert (outcome.sync["added"], outcome.sync["updated"], outcome.sync["failed"]) == (1, 2, 1)
    assert outcome.sync["errors"] == [{"provider": "google", "message": message}]
    assert outcome.details["sources"]["google"]["ok"] is False
    assert "anthropic" in outcome.details["not_configured"]


async def test_the_step_fails_when_every_source_fails(environ: Callable[..., None]) -> None:
    """The only configured source fails, so the step does."""
    environ(OPENAI_API_KEY="")
    assert not (await _run()).ok


async def test_long_lists_of_changes_are_cut_and_counted(project: Project) -> None:
    """A run's row has 500 changes and the number of the others."""
    project.answers[MERGE] = (200, MERGED | {"changes": [str(n) for n in range(600)]})
    changes = (await _run()).changes
    assert (len(changes), changes[-1]) == (501, "and 100 more")


def test_models_without_a_price_are_named() -> None:
    """A price of null is unknown; a price of zero is one."""
    models: list[dict[str, Any]] = [
        {"model_key": "a", "pricing": None},
        {"model_key": "b", "pricing": {"input": 0, "output": 0}},
    ]
    assert sync_catalogue.unpriced(models) == ["a"]
