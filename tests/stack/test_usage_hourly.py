"""usage_hourly equals the log at every instant, column by column, whatever happened to the turns."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from tests.stack.conftest import Models
from tests.stack.histories import PRICING, History
from tests.stack.people import Person, Stack, sign_up
from tests.stack.roll_up import assert_agrees, counted
from tests.stack.turns import KEY, Database, begin, die, finish, used


@pytest.mark.parametrize("seed", range(4))
def test_every_column_equals_the_log_after_any_history(seed: int, stack: Stack, model: Models, db: Database) -> None:
    """Finishes, retries, takeovers, sweeps, hits, corrections, ratings, deletions: each leaves the sums equal."""
    name = model("echo", pricing=PRICING)
    people = [sign_up(stack) for _ in range(3)]
    history = History(stack, db, name, people, random.Random(seed))  # noqa: S311 - dice
    for number in range(40):
        history.step(number)
        if number % 5 == 0:
            assert_agrees(db, name)
    for person in history.people:
        assert person.rest("POST", "rpc/delete_my_data", json={}).status_code == 204
    assert assert_agrees(db, name)


def test_a_rating_counts_when_it_comes_and_changes(alice: Person, model: Models, db: Database) -> None:
    """The rating is in the log row, the roll-up and the conversation, and a later one replaces it."""
    name = model("echo")
    turn = begin(alice, name)
    finish(alice, turn)
    path = f"feedback?turn_id=eq.{turn['turn_id']}"
    assert alice.rest("POST", "feedback", json={"turn_id": turn["turn_id"], "rating": 2}).status_code == 201
    ((_, sums),) = assert_agrees(db, name).items()
    assert (sums["ratings"], sums["rating_sum"], sums.get("good_ratings")) == (1, 2, None)
    assert alice.rows("llm_conversations")[0]["user_satisfaction_avg"] == 2
    assert alice.rest("PATCH", path, json={"rating": None, "sentiment": "positive"}).status_code == 204
    ((_, sums),) = assert_agrees(db, name).items()
    assert (sums["ratings"], sums["rating_sum"], sums["good_ratings"]) == (1, 5, 1)
    assert alice.rows("chat_logs")[0]["rating"] == 5
    assert alice.rows("llm_conversations")[0]["user_satisfaction_avg"] == 5


def test_a_rating_before_the_end_of_a_turn_counts(alice: Person, model: Models, db: Database) -> None:
    """The question can be rated while the turn runs; its log row has the rating from the start."""
    name = model("echo")
    turn = begin(alice, name)
    assert alice.rest("POST", "feedback", json={"turn_id": turn["turn_id"], "rating": 3}).status_code == 201
    finish(alice, turn)
    ((_, sums),) = assert_agrees(db, name).items()
    assert sums["rating_sum"] == 3


def test_a_members_rating_of_anothers_turn_is_no_rating_of_the_asker(
    alice: Person, bob: Person, model: Models, db: Database
) -> None:
    """Each turn has at most one rating, so that no sum counts a turn twice."""
    name = model("echo")
    turn = begin(alice, name)
    finish(alice, turn)
    member = {"conversation_id": turn["conversation_id"], "user_id": bob.id}
    assert alice.rest("POST", "conversation_members", json=member).status_code == 201
    assert bob.rest("POST", "feedback", json={"turn_id": turn["turn_id"], "rating": 1}).status_code == 201
    ((_, sums),) = assert_agrees(db, name).items()
    assert "ratings" not in sums


def test_ratings_stay_when_their_user_goes(alice: Person, model: Models, db: Database) -> None:
    """The totals keep the rating without a name."""
    name = model("echo")
    turn = begin(alice, name)
    finish(alice, turn)
    assert alice.rest("POST", "feedback", json={"turn_id": turn["turn_id"], "rating": 4}).status_code == 201
    db.execute("delete from auth.users where id = %s", [alice.id])
    ((key, sums),) = assert_agrees(db, name).items()
    assert (key[1], sums["ratings"], sums["rating_sum"]) == (None, 1, 4)


def test_the_cost_has_its_kinds(alice: Person, model: Models, db: Database) -> None:
    """Cached input, output and reasoning have their own cost; the rest of the cost is uncached input."""
    name = model("echo", pricing=PRICING)
    finish(alice, begin(alice, name), usage=used(1000, 500, cached_tokens=400, reasoning_tokens=100))
    (row,) = alice.rows("chat_logs")
    kinds = [Decimal(str(row[f"{kind}cost_usd"])) for kind in ("", "cached_", "output_", "reasoning_")]
    assert kinds == [Decimal("0.000264"), Decimal("0.000004"), Decimal("0.00016"), Decimal("0.00004")]
    assert_agrees(db, name)


def test_attempts_are_priced_by_kind_and_by_their_own_route(alice: Person, model: Models, db: Database) -> None:
    """When attempts carry their usage, their costs by kind add up to those of the turn, also over a takeover."""
    name = model("echo", pricing=PRICING)
    first = begin(alice, name, **KEY)
    die(db, first)
    second = begin(alice, name, **KEY)
    attempt = {"identifier": name, "ok": True, "ms": 1, "usage": used(100, 50, cached_tokens=40, reasoning_tokens=10)}
    for turn in (second, first):
        finish(alice, turn, attempts=[attempt, attempt], usage=used(200, 100))
    ((_, sums),) = assert_agrees(db, name).items()
    assert sums["reasoning_cost_usd"] == Decimal("0.000004") * 4
    assert sums["cost_usd"] == Decimal("0.0000264") * 4


def test_purged_rows_stay_counted_in_every_column(alice: Person, model: Models, db: Database) -> None:
    """Retention changes nothing in the roll-up, and the deletion of the user only the name."""
    name = model("echo")
    finish(alice, begin(alice, name), duration_ms=311, ttft_ms=17)
    before = counted(db, name)
    db.execute("delete from public.chat_logs where user_id = %s", [alice.id])
    assert counted(db, name) == before
    db.execute("delete from auth.users where id = %s", [alice.id])
    assert list(counted(db, name).values()) == list(before.values())


def test_a_row_goes_only_when_it_counts_nothing(alice: Person, model: Models, db: Database) -> None:
    """A row without a log row is deleted with its last count; what is left in any column keeps it."""
    name = model("echo")
    for left in (0, 1):
        turn = begin(alice, name)
        finish(alice, turn)
        change = "update public.usage_hourly set unpriced_requests = unpriced_requests + %s where model_identifier = %s"
        db.execute(change, [left, name])
        db.execute("update public.chat_logs set agent_type = 'other' where turn_id = %s", [turn["turn_id"]])
        query = "select requests from public.usage_hourly where model_identifier = %s and agent_type <> 'other'"
        assert db.execute(query, [name]).fetchall() == [{"requests": 0}] * left
    db.execute("delete from public.usage_hourly where requests = 0 and model_identifier = %s", [name])


def test_the_context_quality_is_the_share_of_messages_that_fitted(alice: Person, model: Models, db: Database) -> None:
    """The score of a conversation is the mean of its answers; an answer without messages before it has none."""
    name = model("echo")
    turn = begin(alice, name)
    finish(alice, turn)
    assert alice.rows("llm_conversations")[0]["context_quality_score"] is None
    again = begin(alice, name, conversation_id=turn["conversation_id"])
    db.execute("update private.turns set history_shown = 1, history_left_out = 3 where id = %s", [again["turn_id"]])
    finish(alice, again)
    assert alice.rows("llm_conversations")[0]["context_quality_score"] == 0.25
    finish(alice, begin(alice, name, conversation_id=turn["conversation_id"]))
    assert float(alice.rows("llm_conversations")[0]["context_quality_score"]) == pytest.approx(0.63, abs=0.005)
