"""What may be asked of a refresh, and how its outcome is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.refresh.main import _status_of
from functions.refresh.request import RefreshRequest
from functions.refresh.steps import STEPS
from shared.body import parse_body
from shared.errors import Unprocessable


@pytest.mark.parametrize(
    ("body", "steps", "is_dry_run"),
    [({}, list(STEPS), False), ({"steps": ["models"]}, ["models"], False), ({"dry_run": True}, list(STEPS), True)],
)
def test_all_steps_are_taken_unless_some_are_named(body: dict[str, Any], steps: list[str], is_dry_run: bool) -> None:
    """An empty body is a full run."""
    asked = parse_body(json.dumps(body).encode(), RefreshRequest)
    assert (asked.steps, asked.dry_run) == (steps, is_dry_run)


@pytest.mark.parametrize(
    "body",
    [{"steps": []}, {"steps": ["everything"]}, {"steps": "models"}, {"dry_run": "yes"}, {"force": True}],
    ids=str,
)
def test_other_bodies_are_refused(body: dict[str, Any]) -> None:
    """A step that does not exist is not silently left out."""
    with pytest.raises(Unprocessable):
        parse_body(json.dumps(body).encode(), RefreshRequest)


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([{"ok": True}], "succeeded"),
        ([{"ok": True}, {"ok": False}], "partial"),
        ([{"ok": False}, {"ok": False}], "failed"),
        ([{"ok": True, "sync": {"failed": 1}}], "partial"),
        ([{"ok": True, "sync": {"failed": 0}}], "succeeded"),
        ([{"ok": False, "sync": {"failed": 2}}], "failed"),
    ],
    ids=str,
)
def test_a_run_is_as_good_as_its_steps(outcomes: list[dict[str, Any]], status: str) -> None:
    """All good, some good or none; one source that failed makes a good step partial."""
    assert _status_of({str(number): outcome for number, outcome in enumerate(outcomes)}) == status
