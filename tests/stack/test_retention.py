"""purge_logs(): old rows are deleted in batches; open, new and uncounted rows and all sums stay."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, connect, log_row, service
from tests.stack.turns import Database, begin, finish


def _turn(person: Person, model: str, **fields: Any) -> str:
    turn = begin(person, model)
    assert finish(person, turn, **fields)["outcome"] == "settled"
    return str(turn["turn_id"])


def _age(db: Database, *turns: str, days: int = 400) -> None:
    shift = "set created_at = created_at - make_interval(days => %s) where turn_id = any(%s::uuid[])"
    db.execute(f"update public.chat_logs {shift}", [days, list(turns)])


def _purge(stack: Stack, days: int = 365, **options: Any) -> int:
    answer = service(stack, "POST", "rpc/purge_logs", json={"retention_days": days} | options)
    assert answer.status_code == 200, answer.text
    purged: int = answer.json()
    return purged


def _left(db: Database, turns: list[str]) -> list[str]:
    found = db.execute("select turn_id from public.chat_logs where turn_id = any(%s::uuid[])", [turns]).fetchall()
    return [turn for turn in turns if {"turn_id": uuid.UUID(turn)} in found]


def _counted(db: Database, model: str) -> list[dict[str, Any]]:
    return db.execute("select * from public.usage_hourly where model_identifier = %s order by id", [model]).fetchall()


def test_what_is_older_goes_with_its_words_and_stays_counted(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """Old log rows, write-ahead rows and attempt costs are deleted; newer rows, messages and usage_hourly stay."""
    name = model("echo")
    old, new = [_turn(alice, name) for _ in range(3)], _turn(alice, name)
    db.execute("insert into private.lost_attempt_costs values (%s, gen_random_uuid(), 1)", [old[0]])
    _age(db, *old, days=366)
    _age(db, new, days=364)
    before = _counted(db, name)
    assert _purge(stack) >= 3
    assert _left(db, [*old, new]) == [new]
    for table, column in (("turns", "id"), ("lost_attempt_costs", "turn_id")):
        assert db.execute(f"select from private.{table} where {column} = any(%s::uuid[])", [old]).fetchall() == []
    assert db.execute("select from private.turns where id = %s", [new]).fetchone() == {}
    assert _counted(db, name) == before
    assert len(alice.rows("messages")) == 8


def test_the_oldest_go_first_and_no_more_than_asked(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """One call deletes the oldest rows, at most batch_size."""
    name = model("echo")
    turns = [_turn(alice, name) for _ in range(4)]
    for number, turn in enumerate(turns):
        _age(db, turn, days=20_000 - number)
    assert [_purge(stack, days=15_000, batch_size=3), _left(db, turns)] == [3, turns[3:]]
    assert [_purge(stack, days=15_000, batch_size=3), _left(db, turns)] == [1, []]


def test_what_is_open_stays(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """A row of an old failed turn that runs again is kept."""
    open_turn, closed = (_turn(alice, model("echo")) for _ in range(2))
    _age(db, open_turn, closed)
    db.execute("update private.turns set state = 'started' where id = %s", [open_turn])
    _purge(stack)
    assert _left(db, [open_turn, closed]) == [open_turn]
    db.execute("update private.turns set state = 'settled' where id = %s", [open_turn])


def test_what_is_not_rolled_up_stays(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """A log row that usage_hourly does not count is kept."""
    name = model("echo")
    turn = _turn(alice, name)
    _age(db, turn)
    db.execute("delete from public.usage_hourly where model_identifier = %s", [name])
    _purge(stack)
    assert _left(db, [turn]) == [turn]


def test_rows_of_people_who_are_gone_go_as_well(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """Old log rows without a user are deleted, and stay counted in rows without a user."""
    turn = _turn(alice, model("echo"))
    db.execute("delete from auth.users where id = %s", [alice.id])
    _age(db, turn)
    _purge(stack)
    assert _left(db, [turn]) == []


@pytest.mark.parametrize("held", ["private.turns where id", "public.chat_logs where turn_id"])
def test_retention_waits_for_no_lock(alice: Person, model: Models, db: Database, stack: Stack, held: str) -> None:
    """A row that another transaction has locked is kept for the next run."""
    turn, other_turn = (_turn(alice, model("echo")) for _ in range(2))
    _age(db, turn, other_turn)
    with connect(stack) as other, other.transaction():
        other.execute(f"select 1 from {held} = %s for update", [turn])
        _purge(stack)
        assert _left(db, [turn, other_turn]) == [turn]
        assert db.execute("select from private.turns where id = %s", [turn]).fetchone() == {}
    _purge(stack)
    assert _left(db, [turn]) == []


def test_several_at_once_delete_each_row_once(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """The sum of their results is the number of deleted rows."""
    name = model("echo")
    turns = [_turn(alice, name) for _ in range(20)]
    _age(db, *turns, days=20_000)
    with ThreadPoolExecutor(8) as pool:
        purged = sum(pool.map(lambda _: _purge(stack, days=15_000, batch_size=7), range(8)))
    assert purged + len(_left(db, turns)) == 20
    assert purged >= 7


@pytest.mark.parametrize("days", [0, -5, None])
def test_less_than_a_day_is_refused(alice: Person, model: Models, db: Database, stack: Stack, days: int | None) -> None:
    """A number below one is refused, so it cannot delete everything."""
    turn = _turn(alice, model("echo"))
    answer = service(stack, "POST", "rpc/purge_logs", json={"retention_days": days})
    assert answer.status_code == 422, answer.text
    assert log_row(db, turn)["status"] == "completed"


def test_refresh_purges_what_the_setting_says(
    alice: Person, model: Models, db: Database, stack: Stack, function: Any
) -> None:
    """LOG_RETENTION_DAYS decides, the outcome has the counts, and a dry run deletes nothing."""
    turn = _turn(alice, model("echo"))
    _age(db, turn, days=366)
    url, _ = function("refresh", LOG_RETENTION_DAYS="365")
    headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
    body: dict[str, Any] = {"steps": ["retention"], "dry_run": True}
    assert httpx.post(url, json=body, headers=headers).json()["steps"]["retention"]["purged"] == 0
    step = httpx.post(url, json={"steps": ["retention"]}, headers=headers, timeout=30).json()["steps"]["retention"]
    assert (step["ok"], step["batches"], step["purged"] >= 1) == (True, 1, True)
    assert _left(db, [turn]) == []


def test_nothing_is_purged_while_the_spool_is_not_drained(
    alice: Person, model: Models, db: Database, stack: Stack, function: Any
) -> None:
    """Retention runs alone or after a successful drain, because spooled turns need their write-ahead rows."""
    turn = _turn(alice, model("echo"))
    _age(db, turn)
    url, _ = function("refresh", LOG_RETENTION_DAYS="30", SPOOL_URL="nonsense")
    headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
    answer = httpx.post(url, json={"steps": ["spool", "retention"]}, headers=headers, timeout=30).json()
    assert [answer["steps"][name]["ok"] for name in ("spool", "retention")] == [False, False]
    assert answer["steps"]["retention"]["skipped"]
    assert _left(db, [turn]) == [turn]
    answer = httpx.post(url, json={"steps": ["retention"]}, headers=headers, timeout=30).json()
    assert answer["steps"]["retention"]["ok"] is True
    assert _left(db, [turn]) == []
