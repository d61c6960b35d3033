"""The body of a refresh request, and the status of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from functions.refresh import main
from functions.refresh.main import _status_of
from functions.refresh.request import RefreshRequest
from functions.refresh.step import Step, StepContext, StepOutcome
from functions.refresh.steps import NAMES, STEPS
from shared.body import parse_body
from shared.errors import Unprocessable
from tests.refresh_steps import RUN

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("body", "steps", "is_dry_run"),
    [({}, list(NAMES), False), ({"steps": ["models"]}, ["models"], False), ({"dry_run": True}, list(NAMES), True)],
)
def test_all_steps_are_taken_unless_some_are_named(body: dict[str, Any], steps: list[str], is_dry_run: bool) -> None:
    """An empty body runs all steps."""
    asked = parse_body(json.dumps(body).encode(), RefreshRequest)
    assert (asked.steps, asked.dry_run) == (steps, is_dry_run)


@pytest.mark.parametrize(
    "body",
    [{"steps": []}, {"steps": ["everything"]}, {"steps": "models"}, {"dry_run": "yes"}, {"force": True}],
    ids=str,
)
def test_other_bodies_are_refused(body: dict[str, Any]) -> None:
    """An unknown step is 422."""
    with pytest.raises(Unprocessable):
        parse_body(json.dumps(body).encode(), RefreshRequest)


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([StepOutcome()], "succeeded"),
        ([StepOutcome(), StepOutcome(ok=False)], "partial"),
        ([StepOutcome(ok=False), StepOutcome(ok=False)], "failed"),
        ([StepOutcome(sync={"failed": 1})], "partial"),
        ([StepOutcome(sync={"failed": 0})], "succeeded"),
        ([StepOutcome(ok=False, sync={"failed": 2})], "failed"),
    ],
    ids=str,
)
def test_a_run_is_as_good_as_its_steps(outcomes: list[StepOutcome], status: str) -> None:
    """The status depends on all steps; a failed source makes a successful step partial."""
    assert _status_of({str(number): outcome for number, outcome in enumerate(outcomes)}) == status


@pytest.mark.parametrize("is_drained", [True, False])
async def test_retention_is_skipped_after_a_spool_that_was_not_drained(
    monkeypatch: pytest.MonkeyPatch, *, is_drained: bool
) -> None:
    """Retention waits for the spool, and the run reports the reason."""

    async def drain(_context: StepContext) -> StepOutcome:
        return StepOutcome(ok=is_drained)

    async def purge(_context: StepContext) -> StepOutcome:
        return StepOutcome(details={"purged": 1})

    functions = {"spool": drain, "retention": purge}
    steps = tuple(replace(step, run=functions[step.name]) for step in STEPS if step.name in functions)
    monkeypatch.setattr(main, "STEPS", steps)
    details = (await main.run_steps(list(functions), StepContext(RUN)))["retention"].details
    details.pop("ms")
    assert details == ({"purged": 1} if is_drained else {"skipped": "The spool was not drained."})


async def test_a_step_that_crashes_leaves_the_others_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The crashed step reports internal_error, and the next step runs."""

    async def crash(_context: StepContext) -> StepOutcome:
        raise ZeroDivisionError

    async def succeed(_context: StepContext) -> StepOutcome:
        return StepOutcome()

    monkeypatch.setattr(main, "STEPS", (Step("first", crash), Step("second", succeed)))
    outcomes = await main.run_steps(["first", "second"], StepContext(RUN))
    assert (outcomes["first"].ok, outcomes["first"].details["error"]) == (False, "internal_error")
    assert outcomes["second"].ok
