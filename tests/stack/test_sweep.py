"""Turns whose function died: closed by the sweeper, and what comes later still counts."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import psycopg

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, log_row, service

Database = psycopg.Connection[dict[str, Any]]


def _begin(person: Person, model: str, **fields: Any) -> dict[str, Any]:
    turn = {"turn_id": str(uuid.uuid4()), "worker_id": str(uuid.uuid4()), "endpoint": "chat", "message": "hi"}
    answer = person.rest("POST", "rpc/chat_begin", json={"turn": turn | {"model": model, "question": "hi"} | fields})
    assert answer.status_code == 200, answer.text
    begun: dict[str, Any] = answer.json()
    return turn | begun


def _finish(person: Person, turn: dict[str, Any], **fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 1000, "output_tokens": 500, "cached_tokens": 0, "source": "provider"}
    entry = {"turn_id": turn["turn_id"], "worker_id": turn["worker_id"], "status": "completed"}
    entry |= {"content": "hello", "response": "hello", "usage": usage}
    answer = service(person.stack, "POST", "rpc/chat_finish", json={"entry": entry | fields})
    assert answer.status_code == 200, answer.text
    booked: dict[str, Any] = answer.json()
    return booked


def _sweep(stack: Stack) -> int:
    answer = service(stack, "POST", "rpc/sweep_turns", json={})
    assert answer.status_code == 200, answer.text
    swept: int = answer.json()
    return swept


def _die(db: Database, *turns: dict[str, Any]) -> None:
    ids = [turn["turn_id"] for turn in turns]
    db.execute("update private.turns set lease_until = now() - interval '1 second' where id = any(%s::uuid[])", [ids])


def _day(db: Database, person: Person) -> dict[str, Any]:
    row = db.execute("select * from public.usage_counters where scope = %s and period = 'day'", [person.id]).fetchone()
    assert row is not None
    return row


def test_a_dead_turn_becomes_abandoned_with_its_question_and_frees_its_money(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """Only what has lost its lease is closed; what it cost nobody knows, and that is not zero."""
    name = model("echo")
    dead, alive = _begin(alice, name), _begin(alice, name)
    held = _day(db, alice)["reserved_usd"]
    _die(db, dead)
    assert _sweep(stack) >= 1
    row = log_row(db, dead["turn_id"])
    assert (row["status"], row["question"], row["response"], row["cost_usd"]) == ("abandoned", "hi", None, None)
    assert (row["model_identifier"], row["user_id"]) == (name, uuid.UUID(alice.id))
    assert _day(db, alice)["reserved_usd"] * 2 == held
    assert db.execute("select from public.chat_logs where turn_id = %s", [alive["turn_id"]]).fetchall() == []
    assert _finish(alice, alive)["outcome"] == "settled"
    assert _day(db, alice)["reserved_usd"] == 0


def test_a_finish_after_the_sweep_still_books_what_happened(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """A worker that was only slow is heard: one row, its answer, its cost once, nothing released twice."""
    turn = _begin(alice, model("echo"))
    _die(db, turn)
    _sweep(stack)
    assert [_finish(alice, turn)["outcome"] for _ in range(2)] == ["settled", "duplicate"]
    row = log_row(db, turn["turn_id"])
    assert (row["status"], row["response"], row["cost_usd"]) == ("completed", "hello", Decimal("0.002"))
    day = _day(db, alice)
    assert (day["spent_usd"], day["reserved_usd"], day["requests"]) == (Decimal("0.002"), 0, 1)


def test_many_sweeps_and_finishes_at_once_leave_every_turn_closed_once(
    alice: Person, bob: Person, model: Models, db: Database, stack: Stack
) -> None:
    """No deadlock, no double release: whoever comes first closes a turn, and the sums are right."""
    name = model("echo")
    turns = [(person, _begin(person, name)) for person in (alice, bob) for _ in range(20)]
    _die(db, *(turn for _, turn in turns))
    with ThreadPoolExecutor(16) as pool:
        sweeps = [pool.submit(_sweep, stack) for _ in range(8)]
        finishes = [pool.submit(_finish, person, turn) for person, turn in turns]
        assert sum(sweep.result() for sweep in sweeps) <= 40
        assert {finish.result()["outcome"] for finish in finishes} == {"settled"}
    for person in (alice, bob):
        day = _day(db, person)
        assert (day["spent_usd"], day["reserved_usd"], day["requests"]) == (Decimal("0.04"), 0, 20)
        assert {row["status"] for row in person.rows("chat_logs")} == {"completed"}


def test_a_dead_turn_of_somebody_who_is_gone_keeps_no_words(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """The row and the money stay, the question does not."""
    turn = _begin(alice, model("echo"))
    db.execute("delete from auth.users where id = %s", [alice.id])
    _die(db, turn)
    _sweep(stack)
    row = log_row(db, turn["turn_id"])
    assert (row["status"], row["question"], row["user_id"]) == ("abandoned", None, None)
    assert _day(db, alice)["reserved_usd"] == 0


def test_refresh_sweeps(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """The cron closes what died and says how many; a dry run closes none."""
    turn = _begin(alice, model("echo"))
    _die(db, turn)
    headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
    body: dict[str, Any] = {"steps": ["sweep"], "dry_run": True}
    assert httpx.post(stack["REFRESH_URL"], json=body, headers=headers).json()["steps"]["sweep"]["abandoned"] == 0
    answer = httpx.post(stack["REFRESH_URL"], json={"steps": ["sweep"]}, headers=headers, timeout=30).json()
    assert answer["steps"]["sweep"]["ok"] is True
    assert answer["steps"]["sweep"]["abandoned"] >= 1
    assert log_row(db, turn["turn_id"])["status"] == "abandoned"


def test_nobody_but_the_service_sweeps_or_extends(alice: Person) -> None:
    """People can neither close others' turns nor hold money for their own."""
    for name in ("sweep_turns", "chat_extend"):
        assert alice.rest("POST", f"rpc/{name}", json={}).status_code in {403, 404}


def _extend(stack: Stack, turn: dict[str, Any], **fields: Any) -> dict[str, Any]:
    extension = {"turn_id": turn["turn_id"], "worker_id": turn["worker_id"], "input_tokens": 1000}
    answer = service(stack, "POST", "rpc/chat_extend", json={"extension": extension | fields})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_a_further_call_holds_more_money_until_the_turn_ends(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """The hold is for the dearest route at full output; it is released with the rest, and counts no request."""
    turn = _begin(alice, model("echo"), max_tokens=100)
    before = _day(db, alice)
    assert _extend(stack, turn)["outcome"] == "extended"
    after = _day(db, alice)
    assert after["reserved_usd"] - before["reserved_usd"] == Decimal("0.0012")  # 1000 in, 100 out
    assert after["requests"] == before["requests"] == 1
    _finish(alice, turn)
    assert _day(db, alice)["reserved_usd"] == 0
    assert _extend(stack, turn)["outcome"] == "closed"
    assert _extend(stack, turn | {"turn_id": str(uuid.uuid4())})["outcome"] == "closed"


def test_without_money_for_a_further_call_nothing_more_is_held(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """The turn is told what ran out and can end with what it has; the month's refusal gives the day's hold back."""
    db.execute(
        "insert into public.usage_limits (scope, daily_cost_usd, monthly_cost_usd) values (%s, 5, 0.002)", [alice.id]
    )
    turn = _begin(alice, model("echo"), max_tokens=100)
    held = _day(db, alice)["reserved_usd"]
    told = _extend(stack, turn, input_tokens=5000)
    assert (told["outcome"], told["code"], told["metadata"]["period"]) == ("refused", "budget_exceeded", "month")
    assert _day(db, alice)["reserved_usd"] == held
    assert _extend(stack, turn | {"worker_id": str(uuid.uuid4())})["outcome"] == "closed"
