"""The step `judge` over refresh, a real database and the scripted upstream as the judging model."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.fakes.providers import Upstream
from tests.providers import variables
from tests.stack.assists import plays, says
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack
from tests.stack.regenerations import join
from tests.stack.turns import Database, begin, finish

Judge = Callable[..., dict[str, Any]]
SCORES = {"helpful": 4, "correct": 5, "clear": 3, "overall": 4}


@pytest.fixture
def judge(stack: Stack, function: Any, upstream: Upstream, db: Database) -> Judge:
    """Runs the step with a judging model and a budget; gives its details."""
    db.execute("update public.user_llm_profiles set allows_training = false")

    def run(model: str, budget: str = "1") -> dict[str, Any]:
        url, _ = function("refresh", **variables(upstream), JUDGE_MODEL=model, JUDGE_DAILY_USD=budget)
        headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
        answer = httpx.post(url, json={"steps": ["judge"]}, headers=headers, timeout=120)
        step: dict[str, Any] = answer.json()["steps"]["judge"]
        return step

    return run


def _turn(person: Person, model: str, question: str, *, allows: bool = True) -> str:
    """The id of a turn whose words the judge may read."""
    turn = begin(person, model, message=question, question=question)
    assert finish(person, turn, content="an answer", response="an answer")["outcome"] == "settled"
    body = {"user_id": person.id, "allows_training": allows}
    headers = {"Prefer": "resolution=merge-duplicates"}
    assert person.rest("POST", "user_llm_profiles", json=body, headers=headers).is_success
    return str(turn["turn_id"])


def _spent(db: Database) -> Decimal:
    row = db.execute(
        "select coalesce(sum(spent_usd), 0) as spent from public.usage_counters where scope = 'global' "
        "and period = 'day' and period_start = (now() at time zone 'utc')::date"
    ).fetchone()
    assert row
    return Decimal(row["spent"])


def test_a_judged_turn_has_scores_and_its_call_is_booked(
    judge: Judge, alice: Person, bob: Person, model: Models, able: Models, upstream: Upstream, db: Database
) -> None:
    """Only turns with consent are judged, once; the cost is in the log and in the global counter."""
    mine = _turn(alice, model("echo"), "judge: mine?")
    _turn(bob, model("echo"), "judge: not allowed?", allows=False)
    judging = plays(upstream, able("fixed"), says(SCORES))
    before = _spent(db)
    step = judge(judging)
    assert (step["ok"], step["judged"], step["failed"]) == (True, 1, 0), step
    assert step["cost_usd"] > 0
    rows = alice.rest("GET", "turn_scores").json()
    assert [(row["turn_id"], row["overall"], row["model_identifier"]) for row in rows] == [(mine, 4, judging)]
    assert bob.rest("GET", "turn_scores").json() == []
    logged = db.execute(
        "select * from public.chat_logs where endpoint = 'refresh.judge' and model_identifier = %s", (judging,)
    ).fetchone()
    assert logged
    assert (logged["user_id"], logged["question"], logged["status"]) == (None, None, "completed")
    assert float(logged["cost_usd"]) == step["cost_usd"]
    assert _spent(db) - before == logged["cost_usd"]
    assert judge(judging)["judged"] == 0


def test_a_wrong_answer_is_asked_for_again_and_costs_no_rating(
    judge: Judge, alice: Person, model: Models, able: Models, upstream: Upstream, db: Database
) -> None:
    """Two answers that do not fit are booked as a failed call, without scores; ratings stay."""
    turn = _turn(alice, model("echo"), "judge: badly?")
    assert alice.rest("POST", "feedback", json={"turn_id": turn, "rating": 2}).status_code == 201
    judging = plays(upstream, able("fixed"), says(SCORES | {"overall": 9}), says("no JSON"))
    step = judge(judging)
    assert (step["judged"], step["failed"]) == (0, 1), step
    assert alice.rest("GET", "turn_scores").json() == []
    logged = db.execute(
        "select status, error_code, cost_usd, jsonb_array_length(attempts) as calls from public.chat_logs "
        "where endpoint = 'refresh.judge' and model_identifier = %s",
        (judging,),
    ).fetchone()
    assert logged
    assert (logged["status"], logged["error_code"], logged["calls"]) == ("failed", "output_invalid", 2)
    assert logged["cost_usd"] > 0
    rated = db.execute("select rating from public.chat_logs where turn_id = %s", (turn,)).fetchone()
    assert rated == {"rating": 2}


def test_the_budget_of_the_day_limits_the_calls(
    judge: Judge, alice: Person, model: Models, able: Models, upstream: Upstream
) -> None:
    """No call is made that could exceed what is left of JUDGE_DAILY_USD."""
    _turn(alice, model("echo"), "judge: too dear?")
    judging = plays(upstream, able("fixed"), says(SCORES))
    step = judge(judging, budget="0.000001")
    assert (step["ok"], step["judged"], step["failed"]) == (True, 0, 0), step


def test_an_unknown_model_is_a_failed_step(judge: Judge) -> None:
    """The step names what is wrong."""
    step = judge("no-such-model")
    assert (step["ok"], step["error"]) == (False, "model_not_found")


def test_agreement_has_its_sample_and_interval(
    judge: Judge, alice: Person, model: Models, able: Models, upstream: Upstream
) -> None:
    """A score of 4 agrees with a rating of 5, and not with one of 1."""
    for number, rating in enumerate((5, 1)):
        turn = _turn(alice, model("echo"), f"judge: rated {number}?")
        assert alice.rest("POST", "feedback", json={"turn_id": turn, "rating": rating}).status_code == 201
    judging = plays(upstream, able("fixed"), says(SCORES), says(SCORES))
    assert judge(judging)["judged"] == 2
    (row,) = [
        row for row in alice.rest("POST", "rpc/judge_agreement", json={}).json() if row["model_identifier"] == judging
    ]
    assert (row["n"], row["rated"], row["agreement"], row["mean_difference"]) == (2, 2, 0.5, 1)
    assert row["agreement_low"] < 0.5 < row["agreement_high"]
    assert row["mean_score"] == row["score_low"] == row["score_high"] == 4


def test_a_group_is_judged_only_when_all_its_authors_allow_it(
    judge: Judge, alice: Person, bob: Person, model: Models, able: Models, upstream: Upstream, db: Database
) -> None:
    """An answer may repeat the words of each author."""
    mine = _turn(alice, model("echo"), "judge: group?")
    (group,) = {row["conversation_id"] for row in alice.rows(f"chat_logs?turn_id=eq.{mine}")}
    join(alice, bob, group)
    turn = begin(bob, model("echo"), message="judge: bob?", question="judge: bob?", conversation_id=group)
    assert finish(bob, turn, content="an answer", response="an answer")["outcome"] == "settled"
    judging = plays(upstream, able("fixed"), says(SCORES), says(SCORES))
    assert judge(judging)["judged"] == 0
    db.execute(
        "insert into public.user_llm_profiles (user_id, allows_training) values (%s, true)"
        " on conflict (user_id) do update set allows_training = true",
        [bob.id],
    )
    assert judge(judging)["judged"] == 2


def test_a_cap_holds_before_the_first_turn_of_a_day(model: Models, db: Database) -> None:
    """Without counters the whole cap is left, not an unlimited amount."""
    with db.transaction(force_rollback=True):
        db.execute("delete from public.usage_counter_slots where scope = 'global'")
        db.execute("delete from public.usage_limits where scope = 'global'")
        db.execute("insert into public.usage_limits (scope, daily_cost_usd) values ('global', 0)")
        row = db.execute(
            "select (public.judge_sample(%s, '1', '{}') ->> 'left_usd')::numeric as usd", [model("echo")]
        ).fetchone()
        assert row == {"usd": 0}
