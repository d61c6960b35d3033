"""Turns of killed instances: the sweep closes them, and a late finish still counts."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, log_row
from tests.stack.turns import Database, begin, die, extend, finish, sweep

pytestmark = pytest.mark.usefixtures("each_way")


def _day(db: Database, person: Person) -> dict[str, Any]:
    row = db.execute("select * from public.usage_counters where scope = %s and period = 'day'", [person.id]).fetchone()
    assert row is not None
    return row


def test_a_dead_turn_becomes_abandoned_with_its_question_and_frees_its_money(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """Only a turn without a lease is closed; its unknown cost is null, not zero."""
    name = model("echo")
    dead, alive = begin(alice, name, preset_version="7"), begin(alice, name)
    held = _day(db, alice)["reserved_usd"]
    die(db, dead)
    assert sweep(stack) >= 1
    row = log_row(db, dead["turn_id"])
    assert (row["status"], row["question"], row["response"], row["cost_usd"]) == ("abandoned", "hi", None, None)
    assert (row["model_identifier"], row["user_id"]) == (name, uuid.UUID(alice.id))
    assert row["preset_version"] == "7"
    assert _day(db, alice)["reserved_usd"] * 2 == held
    assert db.execute("select from public.chat_logs where turn_id = %s", [alive["turn_id"]]).fetchall() == []
    assert finish(alice, alive)["outcome"] == "settled"
    assert _day(db, alice)["reserved_usd"] == 0


def test_a_finish_after_the_sweep_still_books_what_happened(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """A slow worker can still finish: one row has its answer and cost, and the reservation is released once."""
    turn = begin(alice, model("echo"))
    die(db, turn)
    sweep(stack)
    assert [finish(alice, turn)["outcome"] for _ in range(2)] == ["settled", "duplicate"]
    row = log_row(db, turn["turn_id"])
    assert (row["status"], row["response"], row["cost_usd"]) == ("completed", "hello", Decimal("0.002"))
    day = _day(db, alice)
    assert (day["spent_usd"], day["reserved_usd"], day["requests"]) == (Decimal("0.002"), 0, 1)


def test_many_sweeps_and_finishes_at_once_leave_every_turn_closed_once(
    alice: Person, bob: Person, model: Models, db: Database, stack: Stack
) -> None:
    """There is no deadlock and no second release: one of them closes each turn, and the sums are right."""
    name = model("echo")
    sweep(stack)  # what earlier tests left
    turns = [(person, begin(person, name)) for person in (alice, bob) for _ in range(20)]
    die(db, *(turn for _, turn in turns))
    with ThreadPoolExecutor(16) as pool:
        sweeps = [pool.submit(sweep, stack) for _ in range(8)]
        finishes = [pool.submit(finish, person, turn) for person, turn in turns]
        assert sum(sweep.result() for sweep in sweeps) <= 40
        assert {finish.result()["outcome"] for finish in finishes} == {"settled"}
    for person in (alice, bob):
        day = _day(db, person)
        assert (day["spent_usd"], day["reserved_usd"], day["requests"]) == (Decimal("0.04"), 0, 20)
        assert {row["status"] for row in person.rows("chat_logs")} == {"completed"}


def test_a_dead_turn_of_a_deleted_user_keeps_no_words(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """The row and the cost stay, without the question."""
    turn = begin(alice, model("echo"))
    db.execute("delete from auth.users where id = %s", [alice.id])
    die(db, turn)
    sweep(stack)
    row = log_row(db, turn["turn_id"])
    assert (row["status"], row["question"], row["user_id"]) == ("abandoned", None, None)
    assert _day(db, alice)["reserved_usd"] == 0


def test_refresh_sweeps(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """A run closes abandoned turns and reports their number; a dry run closes none."""
    turn = begin(alice, model("echo"))
    die(db, turn)
    headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
    body: dict[str, Any] = {"steps": ["sweep"], "dry_run": True}
    assert httpx.post(stack["REFRESH_URL"], json=body, headers=headers).json()["steps"]["sweep"]["abandoned"] == 0
    answer = httpx.post(stack["REFRESH_URL"], json={"steps": ["sweep"]}, headers=headers, timeout=30).json()
    assert answer["steps"]["sweep"]["ok"] is True
    assert answer["steps"]["sweep"]["abandoned"] >= 1
    assert log_row(db, turn["turn_id"])["status"] == "abandoned"


def test_only_the_service_sweeps_or_extends(alice: Person) -> None:
    """A user can neither close turns of others nor extend a reservation."""
    for name in ("sweep_turns", "chat_extend"):
        assert alice.rest("POST", f"rpc/{name}", json={}).status_code in {403, 404}


def test_a_further_call_holds_more_money_until_the_turn_ends(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """The reservation is for the most expensive route at full output, counts no request, and is released at the end."""
    turn = begin(alice, model("echo"), max_tokens=100)
    before = _day(db, alice)
    assert extend(stack, turn)["outcome"] == "extended"
    after = _day(db, alice)
    assert after["reserved_usd"] - before["reserved_usd"] == Decimal("0.0012")  # 1000 in, 100 out
    assert after["requests"] == before["requests"] == 1
    finish(alice, turn)
    assert _day(db, alice)["reserved_usd"] == 0
    assert extend(stack, turn)["outcome"] == "closed"
    assert extend(stack, turn | {"turn_id": str(uuid.uuid4())})["outcome"] == "closed"


def test_without_money_for_a_further_call_nothing_more_is_held(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """The refusal names the cap, the turn ends with its text so far, and no part of the extension stays reserved."""
    db.execute(
        "insert into public.usage_limits (scope, daily_cost_usd, monthly_cost_usd) values (%s, 5, 0.002)", [alice.id]
    )
    turn = begin(alice, model("echo"), max_tokens=100)
    held = _day(db, alice)["reserved_usd"]
    received = extend(stack, turn, input_tokens=5000)
    assert (received["outcome"], received["code"], received["metadata"]["period"]) == (
        "refused",
        "budget_exceeded",
        "month",
    )
    assert _day(db, alice)["reserved_usd"] == held
    assert extend(stack, turn | {"worker_id": str(uuid.uuid4())})["outcome"] == "closed"
