"""The step `judge` beside a failing database."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from functions.refresh import judge
from shared.errors import DatabaseUnavailable
from tests.fakes.supabase import PERSON_ID, Project
from tests.refresh_steps import run_step

pytestmark = pytest.mark.anyio
_ROUTE = {
    "identifier": "openai:judging",
    "provider": "openai",
    "upstream_id": "judging",
    "pricing": {"input": 1, "output": 1},
}


async def test_a_call_that_cannot_be_booked_is_in_the_log(
    project: Project, environ: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The database is asked three times with the same id; then the log has the record, and the step fails."""
    environ(SUPABASE_URL=project.url, SUPABASE_SERVICE_KEY="sb_secret_x", JUDGE_MODEL="judging", JUDGE_DAILY_USD="1")
    turns = [{"turn_id": PERSON_ID, "question": "why?", "response": "because"}]
    sample = {"route": _ROUTE, "left_usd": None, "spent_usd": 0, "turns": turns}
    project.answers["/rest/v1/rpc/judge_sample"] = (200, sample)
    project.answers["/rest/v1/rpc/book_judgement"] = (503, "down")
    with pytest.raises(DatabaseUnavailable):
        await run_step(judge.run)
    entries = [each["entry"] for each in project.asked_of("book_judgement")]
    assert len(entries) == 3
    assert len({each["id"] for each in entries}) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    events = [line["event"] for line in lines]
    assert events[-5:] == ["finish_failed"] * 3 + ["unbooked_turn", "unbooked_record"]
    assert lines[-1]["record"]["id"] == entries[0]["id"]
