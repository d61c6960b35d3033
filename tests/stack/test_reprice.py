"""reprice corrects the costs of finished turns, and every sum follows to the last digit."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.stack.books import reprice, set_price, spent, totals
from tests.stack.caps import PRICED, global_caps, reserve_of
from tests.stack.conftest import Models
from tests.stack.histories import PRICING, History
from tests.stack.people import Person, Stack, eventually, log_row, new_admin, service, sign_up
from tests.stack.roll_up import assert_agrees
from tests.stack.turns import KEY, Database, asked, begin, die, entry_of, fail, finish, sweep, used

__all__ = ["global_caps"]  # a fixture
_DEARER = '{"input": 0.3, "output": 0.7, "cached_input": 0.02}'


def _one_row(db: Database, turn: dict[str, Any]) -> dict[str, Any]:
    return log_row(db, turn["turn_id"])


def test_a_dry_run_shows_what_a_run_then_changes(alice: Person, model: Models, db: Database) -> None:
    """The dry run and the run return the same rows; the dry run changes nothing, and a second run finds nothing."""
    name = model("echo", pricing=PRICING)
    turns = [begin(alice, name) for _ in range(3)]
    for turn in turns:
        finish(alice, turn)
    before = totals(db, alice, name)
    assert reprice(db, name) == []
    set_price(db, name, _DEARER)
    shown = reprice(db, name)
    assert totals(db, alice, name) == before
    (row,) = shown
    old, new = Decimal("0.0003") * 3, Decimal("0.00065") * 3
    assert (row["model"], row["turns"], row["newly_priced"]) == (name, 3, 0)
    assert (row["old_usd"], row["new_usd"], row["delta_usd"]) == (old, new, new - old)
    assert row["day"] == datetime.now(UTC).date()
    assert reprice(db, name, dry_run=False) == shown
    assert reprice(db, name, dry_run=False) == []
    assert_agrees(db, name)


def test_every_sum_follows_and_the_first_cost_is_kept(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """Log, roll-up, counters of user, key and all users, conversation, own page; an entry has the cost before."""
    name, admin = model("echo", pricing=PRICING), new_admin(stack)
    key = alice.rest("POST", "rpc/create_api_key", json={"name": "k"}).json()
    turn = begin(alice, name, api_key=key["key"])
    other = begin(alice, name)
    for each in (turn, other):
        finish(alice, each, usage=used(1000, 500, cached_tokens=400, reasoning_tokens=100))
    everyone = spent(db, "global")
    set_price(db, name, _DEARER)
    span = {"from": _ago(1), "to": _ago(-1), "models": [name], "dry_run": False}
    answer = admin.rest("POST", "rpc/reprice", json=span)
    assert answer.status_code == 200, answer.text
    cost = Decimal("0.000538")  # 600 fresh, 400 cached, 400 of output and 100 of reasoning
    row = _one_row(db, turn)
    assert [row[f"{kind}cost_usd"] for kind in ("", "cached_", "output_", "reasoning_")] == [
        cost,
        Decimal("0.000008"),
        Decimal("0.00028"),
        Decimal("0.00007"),
    ]
    assert_agrees(db, name)
    delta = cost - Decimal("0.000264")
    assert spent(db, alice.id) == {"day": cost * 2, "month": cost * 2}
    assert spent(db, f"key:{key['id']}") == {"day": cost, "month": cost}
    assert spent(db, "global") == {period: usd + delta * 2 for period, usd in everyone.items()}
    conversations = alice.rows("llm_conversations?select=total_cost")
    assert sum(Decimal(str(each["total_cost"])) for each in conversations) == cost * 2
    page = alice.rest("POST", "rpc/my_usage", json={}).json()
    assert Decimal(str(page["spent"]["today"]["cost_usd"])) == cost * 2
    (entry,) = db.execute("select * from public.cost_corrections where turn_id = %s", [turn["turn_id"]]).fetchall()
    assert (entry["old_usd"], entry["new_usd"], entry["delta_usd"]) == (Decimal("0.000264"), cost, delta)
    assert (entry["old_cached_usd"], entry["old_reasoning_usd"]) == (Decimal("0.000004"), Decimal("0.00004"))
    assert (str(entry["corrected_by"]), entry["prices"]) == (admin.id, {name: json.loads(_DEARER)})
    assert alice.rows("cost_corrections") == []
    assert len(admin.rows(f"cost_corrections?turn_id=eq.{turn['turn_id']}")) == 1


def test_turns_without_a_price_get_one(alice: Person, model: Models, db: Database) -> None:
    """They leave the unpriced ones and stay estimated; a model that still has no price keeps null."""
    name, unknown = model("echo", pricing=None), model("other", pricing=None)
    finish(alice, begin(alice, name), usage=used(1000, 500, source="estimate"))
    finish(alice, begin(alice, unknown))
    set_price(db, name, PRICING)
    (row,) = reprice(db, name, dry_run=False)
    assert (row["newly_priced"], row["old_usd"], row["new_usd"]) == (1, 0, Decimal("0.0003"))
    ((_, sums),) = assert_agrees(db, name).items()
    assert "unpriced_requests" not in sums
    assert sums["estimated_requests"] == 1
    assert reprice(db, unknown, dry_run=False) == []
    assert alice.rows(f"chat_logs?model_identifier=eq.{unknown}")[0]["cost_usd"] is None


def test_a_model_that_is_not_named_keeps_its_cost(alice: Person, model: Models, db: Database) -> None:
    """Of a turn with attempts of two models, only the attempts of the named one change; the sums still agree."""
    name, second = model("echo", pricing=PRICING), model("echo-2", pricing=PRICING)
    turn = begin(alice, name, agent_models=None)
    db.execute(
        """update private.turns set routes = routes || jsonb_build_array(
             (routes -> 0) || jsonb_build_object('identifier', %s::text)) where id = %s""",
        [second, turn["turn_id"]],
    )
    usage = used(1000, 500, cached_tokens=100)
    attempts = [{"identifier": each, "ok": True, "ms": 1, "usage": usage} for each in (name, second)]
    finish(alice, turn, attempts=attempts, usage=used(2000, 1000, cached_tokens=200))
    before = _one_row(db, turn)
    for each in (name, second):
        set_price(db, each, _DEARER)
    (row,) = reprice(db, second, dry_run=False)
    after = _one_row(db, turn)
    kept, changed = after["attempts"]
    assert kept == before["attempts"][0]
    assert Decimal(str(changed["cost_usd"])) == Decimal("0.000622")
    assert after["cost_usd"] == Decimal(str(kept["cost_usd"])) + Decimal("0.000622")
    assert row["delta_usd"] == after["cost_usd"] - before["cost_usd"]
    assert reprice(db, second, dry_run=False) == []
    assert_agrees(db, name)


def test_stale_and_failed_attempts_are_corrected(alice: Person, model: Models, db: Database, stack: Stack) -> None:
    """A takeover, a failed turn that is asked again, and an abandoned one: cost and counters follow each part."""
    name = model("echo", pricing=PRICING)
    first = begin(alice, name, **KEY)
    die(db, first)
    second = begin(alice, name, **KEY)
    for turn in (second, first):
        finish(alice, turn)
    failed = begin(alice, name, idempotency_key="2", body_hash="h")
    fail(alice, failed)
    lost = begin(alice, name)
    die(db, lost)
    sweep(stack)
    set_price(db, name, _DEARER)
    reprice(db, name, dry_run=False)
    assert _one_row(db, second)["cost_usd"] == Decimal("0.00065") * 2
    assert _one_row(db, failed)["cost_usd"] == Decimal("0.0003")
    assert _one_row(db, lost)["cost_usd"] is None
    # A retry is charged by the new price, and its log row keeps the corrected cost of the attempt before.
    again = begin(alice, name, idempotency_key="2", body_hash="h")
    finish(alice, again)
    assert _one_row(db, failed)["cost_usd"] == Decimal("0.0003") + Decimal("0.00065")
    assert spent(db, alice.id)["day"] == Decimal("0.00065") * 3 + Decimal("0.0003")
    # The late finish of the abandoned turn is charged by its price at admission, until the next run.
    finish(alice, lost)
    assert _one_row(db, lost)["cost_usd"] == Decimal("0.0003")
    (row,) = reprice(db, name, dry_run=False)
    assert (row["turns"], row["new_usd"]) == (1, Decimal("0.00065"))
    assert_agrees(db, name)


@pytest.mark.parametrize("seed", range(3))
def test_a_price_and_back_restores_every_history(seed: int, stack: Stack, model: Models, db: Database) -> None:
    """After any history a new price keeps all sums equal, and the old price restores each cost by kind exactly."""
    name = model("echo", pricing=PRICING)
    history = History(stack, db, name, [sign_up(stack) for _ in range(3)], random.Random(seed))  # noqa: S311 - dice
    for number in range(40):
        history.step(number)
    before = {person.id: totals(db, person, name) for person in history.people}
    costs = "select turn_id, cost_usd, cached_cost_usd, output_cost_usd, reasoning_cost_usd, attempts"
    rows = f"{costs} from public.chat_logs where model_identifier = %s order by turn_id"
    first = db.execute(rows, [name]).fetchall()
    set_price(db, name, _DEARER)
    shown = reprice(db, name)
    assert reprice(db, name, dry_run=False) == shown != []
    assert_agrees(db, name)
    for person in history.people:
        (logged,) = db.execute(
            "select coalesce(sum(cost_usd), 0) as usd from public.chat_logs where user_id = %s", [person.id]
        ).fetchall()
        assert spent(db, person.id).get("day", 0) == logged["usd"]
    assert reprice(db, name, dry_run=False) == []
    set_price(db, name, PRICING)
    back = reprice(db, name, dry_run=False)
    assert sum(row["delta_usd"] for row in back) == -sum(row["delta_usd"] for row in shown)
    assert db.execute(rows, [name]).fetchall() == first
    assert {person.id: totals(db, person, name) for person in history.people} == before
    assert_agrees(db, name)


def test_finishes_sweeps_and_corrections_at_once_lose_nothing(
    alice: Person, bob: Person, model: Models, db: Database, stack: Stack
) -> None:
    """Counters and roll-up equal the log afterwards, and a last run leaves every turn at the new price."""
    name = model("echo", pricing=PRICING)
    turns = [((alice, bob)[number % 2], number) for number in range(48)]
    begun = [(person, begin(person, name, idempotency_key=str(number), body_hash="h")) for person, number in turns]
    for person, turn in begun[:16]:
        finish(person, turn)
    die(db, *(turn for _, turn in begun[16:32]))
    retried = turns[24:32]
    taken = [(person, begin(person, name, idempotency_key=str(number), body_hash="h")) for person, number in retried]
    set_price(db, name, _DEARER)

    def act(number: int) -> None:
        if number % 8 == 0:
            with psycopg.connect(stack["DATABASE_URL"], row_factory=psycopg.rows.dict_row) as other:
                reprice(other, name, dry_run=False)
        elif number % 8 == 4:
            sweep(stack)
        else:
            finish(*(begun[16:] + taken)[number % 40])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(act, range(80)))
    for person, turn in begun[16:] + taken:
        finish(person, turn)
    assert_agrees(db, name)
    reprice(db, name, dry_run=False)
    assert_agrees(db, name)
    for person in (alice, bob):
        (logged,) = db.execute(
            "select sum(cost_usd) as usd from public.chat_logs where user_id = %s", [person.id]
        ).fetchall()
        assert spent(db, person.id) == {"day": logged["usd"], "month": logged["usd"]}
    # Eight turns have two attempts, of which one lost its lease.
    (all_rows,) = db.execute(
        "select count(*) as n, sum(cost_usd) as usd from public.chat_logs where model_identifier = %s", [name]
    ).fetchall()
    assert all_rows == {"n": 48, "usd": Decimal("0.00065") * 56}


def test_an_attempt_that_is_booked_meanwhile_is_corrected_too(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """A correction that waits for a late attempt of its turn computes the turn again, with the attempt's cost."""
    name = model("echo", pricing=PRICING)
    late = begin(alice, name, **KEY)
    die(db, late)
    turn = begin(alice, name, **KEY)
    finish(alice, turn)
    set_price(db, name, _DEARER)

    def correct() -> None:
        with psycopg.connect(stack["DATABASE_URL"], autocommit=True, row_factory=psycopg.rows.dict_row) as other:
            reprice(other, name, dry_run=False)

    waiting = """select from pg_stat_activity
      where wait_event_type = 'Lock' and query like '%%public.reprice%%' and pid <> pg_backend_pid()"""
    with psycopg.connect(stack["DATABASE_URL"]) as booking, ThreadPoolExecutor(1) as pool:
        booking.execute("select public.chat_finish(%s)", [json.dumps(entry_of(late))])
        running = pool.submit(correct)
        eventually(lambda: db.execute(waiting).fetchall())
        booking.commit()
        running.result()
    assert _one_row(db, turn)["cost_usd"] == Decimal("0.00065") * 2
    assert spent(db, alice.id)["day"] == Decimal("0.00065") * 2
    assert_agrees(db, name)


def test_a_deletion_beside_a_correction_keeps_the_totals(
    alice: Person, bob: Person, model: Models, db: Database, stack: Stack
) -> None:
    """Accounts that go while costs are corrected leave rows without a name, and sums that equal the log."""
    name = model("echo", pricing=PRICING)
    people = [alice, bob, *(sign_up(stack) for _ in range(2))]
    for person in people * 3:
        finish(person, begin(person, name))
    set_price(db, name, _DEARER)

    def act(number: int) -> None:
        with psycopg.connect(stack["DATABASE_URL"], autocommit=True, row_factory=psycopg.rows.dict_row) as other:
            if number == 4:
                reprice(other, name, dry_run=False)
            else:
                other.execute("delete from auth.users where id = %s", [people[number].id])

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(act, range(5)))
    reprice(db, name, dry_run=False)
    sums = assert_agrees(db, name)
    assert [key[1] for key in sums] == [None]
    assert sum(each["cost_usd"] for each in sums.values()) == Decimal("0.00065") * 12


def test_what_retention_deleted_stays(alice: Person, model: Models, db: Database) -> None:
    """Turns without a log row keep their cost in the roll-up, the others change; the entries outlive the log."""
    name = model("echo", pricing=PRICING)
    turns = [begin(alice, name) for _ in range(2)]
    for turn in turns:
        finish(alice, turn)
    db.execute("delete from public.chat_logs where turn_id = %s", [turns[0]["turn_id"]])
    set_price(db, name, _DEARER)
    (row,) = reprice(db, name, dry_run=False)
    assert row["turns"] == 1
    (rolled,) = db.execute("select cost_usd from public.usage_hourly where model_identifier = %s", [name]).fetchall()
    assert rolled["cost_usd"] == Decimal("0.0003") + Decimal("0.00065")
    db.execute("delete from public.chat_logs where turn_id = %s", [turns[1]["turn_id"]])
    entries = db.execute("select from public.cost_corrections where turn_id = %s", [turns[1]["turn_id"]]).fetchall()
    assert len(entries) == 1


def test_global_caps_count_the_corrected_cost(
    alice: Person, bob: Person, model: Models, db: Database, global_caps: Callable[..., None]
) -> None:
    """Of a cap of forty reservations a correction takes 35: five more turns fit, whatever their slots had left."""
    name, cheap = model("echo", pricing=PRICED), model("cheap", pricing='{"input": 0.000001, "output": 0}')
    reserved = reserve_of(alice, name)
    global_caps(daily_cost_usd=reserved * Decimal("40.5"))
    finish(alice, begin(alice, cheap), usage=used(1_000_000, 0))
    first = begin(alice, name)  # shares the cap out
    set_price(db, cheap, f'{{"input": {reserved * 35}, "output": 0}}')
    reprice(db, cheap, dry_run=False)
    answers = [asked(person, name) for person in (alice, bob) * 10]
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [402] * 16
    die(db, first, *(answer.json() for answer in answers if answer.status_code == 200))
    sweep(alice.stack)


def _ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"from": _ago(-1), "to": _ago(1)}, "from"),
        ({"from": _ago(1), "to": None}, "from"),
        ({"from": "2026-11-02T00:00Z", "to": "2026-11-02T00:00Z"}, "from"),
        ({"from": _ago(94), "to": _ago(0)}, "from"),
        ({"from": "-infinity", "to": _ago(0)}, "from"),
        ({"models": []}, "models"),
        ({"models": ["x"] * 101}, "models"),
        ({"dry_run": None}, "dry_run"),
    ],
)
def test_wrong_parameters_are_422(stack: Stack, change: dict[str, Any], parameter: str) -> None:
    """Spans that are turned round, empty or too long, and other wrong values, are named and change nothing."""
    span: dict[str, Any] = {"from": _ago(1), "to": _ago(-1), "dry_run": False}
    answer = service(stack, "POST", "rpc/reprice", json=span | change)
    assert answer.status_code == 422, answer.text
    details = json.loads(answer.json()["details"])
    assert (details["code"], details["metadata"]["param"]) == ("validation_failed", parameter)


def test_only_admins_correct_costs(alice: Person) -> None:
    """Another user gets 403, also for a dry run."""
    answer = alice.rest("POST", "rpc/reprice", json={"from": _ago(1), "to": _ago(-1)})
    assert (answer.status_code, json.loads(answer.json()["details"])["code"]) == (403, "forbidden")
