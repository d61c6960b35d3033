"""The ledger over connections that are lost: no row is lost or doubled, the money agrees, and the next turn works."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from local import postgres
from shared.errors import BudgetExceeded, DatabaseUnavailable
from shared.ledger_connection import Connections
from tests.fakes.tcp_proxy import Line, line_to
from tests.stack.conftest import Models
from tests.stack.ledger_client import DirectConnections
from tests.stack.people import Person, Stack, connect, eventually, sign_up
from tests.stack.turns import Database, entry_of, turn_of
from tests.stack_process import free_ports

_COST = Decimal("0.002")  # of `entry_of`, as `model` prices it


@pytest.fixture
def line(stack: Stack) -> Iterator[Line]:
    """The way to PostgreSQL."""
    with line_to(stack["LEDGER_DATABASE_URL"]) as running:
        yield running


@pytest.fixture
def ledger(line: Line) -> Iterator[DirectConnections]:
    """The ledger over that way."""
    running = DirectConnections(line.address)
    yield running
    line.restore()
    running.close()


def _begin(ledger: DirectConnections, person: Person, turn: dict[str, Any]) -> dict[str, Any]:
    begun: dict[str, Any] = ledger.call("chat_begin", {"turn": turn}, person)
    return begun


def _finish(ledger: DirectConnections, turn: dict[str, Any]) -> dict[str, Any]:
    booked: dict[str, Any] = ledger.call("chat_finish", {"entry": entry_of(turn)}, None)
    return booked


def _assert_one_turn(db: Database, person: Person, *, turns: int = 1) -> None:
    """So many turns, each with one row, question and answer; every cent is booked, and nothing is held."""
    rows = person.rows("chat_logs")
    assert [row["status"] for row in rows] == ["completed"] * turns
    assert len({row["turn_id"] for row in rows}) == turns
    messages = person.rows("messages")
    assert sorted(row["role"] for row in messages) == ["assistant"] * turns + ["user"] * turns
    for counter in person.rows("usage_counters"):
        assert (Decimal(str(counter["spent_usd"])), counter["reserved_usd"]) == (_COST * turns, 0)
        assert counter["requests"] == turns
    left = db.execute("select 1 from private.turns where user_id = %s and state <> 'settled'", [person.id]).fetchall()
    assert left == []


@pytest.mark.parametrize("call", ["begin", "finish"])
def test_a_backend_that_is_killed_in_the_middle_of_a_call_is_called_again(
    ledger: DirectConnections, alice: Person, model: Models, db: Database, stack: Stack, call: str
) -> None:
    """The first statement is rolled back whole, and the second one does its work."""
    turn = turn_of(model("echo"))
    _begin(ledger, alice, turn)
    _finish(ledger, turn)
    second = turn_of(turn["model"])
    if call == "finish":
        _begin(ledger, alice, second)
    with connect(stack) as other, ThreadPoolExecutor(1) as pool:
        other.execute("begin")
        other.execute("select from public.usage_counter_slots where scope = %s for update", [alice.id])
        work = pool.submit(_begin, ledger, alice, second) if call == "begin" else pool.submit(_finish, ledger, second)
        killed = eventually(lambda: _killed(db, f"chat_{call}"))
        eventually(lambda: _pids(db, f"chat_{call}") - killed)  # the second try waits for the same lock
        other.execute("commit")
        assert work.result(20)["outcome"] == ("new" if call == "begin" else "settled")
    if call == "begin":
        _finish(ledger, second)
    _assert_one_turn(db, alice, turns=2)


def _pids(db: Database, function: str) -> set[int]:
    rows = db.execute(
        "select pid from pg_stat_activity where usename = 'parley_ledger' and wait_event_type = 'Lock' "
        "and query like %s",
        [f"%{function}%"],
    ).fetchall()
    return {row["pid"] for row in rows}


def _killed(db: Database, function: str) -> set[int]:
    pids = _pids(db, function)
    for pid in pids:
        db.execute("select pg_terminate_backend(%s, 5000)", [pid])
    return pids


@pytest.mark.parametrize("key", [{}, {"idempotency_key": "k", "body_hash": "h"}], ids=["without key", "with key"])
@pytest.mark.parametrize("call", ["begin", "finish"])
def test_an_answer_that_is_lost_after_the_commit_is_asked_for_again(
    ledger: DirectConnections, line: Line, alice: Person, model: Models, db: Database, call: str, key: dict[str, str]
) -> None:
    """The worker takes its own turn over again, and a finish is a duplicate: one turn, one hold, one price."""
    turn = turn_of(model("echo"), **key)
    if call == "finish":
        _begin(ledger, alice, turn)
    ledger.call("node_key", {"node_id": 0, "base_url": ""}, None)  # opens the connection
    line.loses_answers = True
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(_begin, ledger, alice, turn) if call == "begin" else pool.submit(_finish, ledger, turn)
        is_done = "select 1 from private.turns where user_id = %s and state = %s"
        eventually(lambda: db.execute(is_done, [alice.id, "started" if call == "begin" else "settled"]).fetchone())
        line.restore()
        line.drop()
        answer = work.result(20)
    assert answer["outcome"] == ("new" if call == "begin" else "duplicate")
    if call == "begin":
        assert answer["turn_id"] == turn["turn_id"]
        (day,) = alice.rows("usage_counters?period=eq.day")
        assert day["reserved_usd"] == answer["reserve_usd"]
        assert _finish(ledger, turn)["outcome"] == "settled"
    _assert_one_turn(db, alice)
    following = turn_of(turn["model"], conversation_id=alice.rows("llm_conversations")[0]["id"])
    assert _begin(ledger, alice, following)["outcome"] == "new"
    _finish(ledger, following)
    _assert_one_turn(db, alice, turns=2)


def test_connections_that_a_pooler_closed_while_idle_cost_nothing(
    ledger: DirectConnections, line: Line, alice: Person, model: Models, db: Database
) -> None:
    """All three are found dead before their next use; a call goes over a new one."""
    turns = [turn_of(model("echo")) for _ in range(6)]
    for turn in turns[:2]:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda _: ledger.call("node_key", {"node_id": 0, "base_url": ""}, None), range(3)))
        line.drop()
        _begin(ledger, alice, turn)
        line.drop()
        _finish(ledger, turn)
    _assert_one_turn(db, alice, turns=2)


def test_a_line_that_is_cut_is_a_503_at_once_and_the_next_turn_works(
    ledger: DirectConnections, line: Line, alice: Person, model: Models, db: Database
) -> None:
    """Nothing is begun while the database is away; what was begun before is booked afterwards."""
    turn = turn_of(model("echo"))
    _begin(ledger, alice, turn)
    line.cut()
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            _begin(ledger, alice, turn_of(turn["model"]))
        with pytest.raises(DatabaseUnavailable):
            _finish(ledger, turn)
    line.restore()
    assert _finish(ledger, turn)["outcome"] == "settled"
    _assert_one_turn(db, alice)


@pytest.mark.anyio
async def test_a_call_that_takes_too_long_is_stopped_in_the_database(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """The caller gets its 503 in time, the backend stops, and the connections serve the next call."""
    connections = Connections(stack["LEDGER_DATABASE_URL"])
    turn = turn_of(model("echo"))
    with connect(stack) as other:
        other.execute("begin")
        other.execute("select from auth.users where id = %s for update", [alice.id])
        claims = f'{{"sub": "{alice.id}", "role": "authenticated"}}'
        for _ in range(4):  # one more than there are connections
            with pytest.raises(DatabaseUnavailable):
                await connections.call("chat_begin", {"turn": turn}, claims, 0.3)
        await asyncio.to_thread(eventually, lambda: not _pids(db, "chat_begin"))
        hung_up = asyncio.ensure_future(connections.call("chat_begin", {"turn": turn}, claims, 20))
        await asyncio.to_thread(eventually, lambda: _pids(db, "chat_begin"))
        hung_up.cancel()
        await asyncio.to_thread(eventually, lambda: not _pids(db, "chat_begin"))
        other.execute("commit")
    begun = await connections.call("chat_begin", {"turn": turn}, claims, 5)
    assert begun["outcome"] == "new"
    open_now = "select count(*) as n from pg_stat_activity where application_name = 'parley chat' and pid = any(%s)"
    await connections.close()
    assert db.execute(open_now, [[0]]).fetchone() == {"n": 0}


def test_a_refusal_is_the_same_error_and_keeps_its_connection(
    ledger: DirectConnections, alice: Person, model: Models, db: Database
) -> None:
    """A spent budget is 402 with its metadata, and the connection is used again."""
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, 0.000001)", [alice.id])
    query = "select array_agg(pid order by pid) as pids from pg_stat_activity where usename = 'parley_ledger'"
    with pytest.raises(BudgetExceeded) as first:
        _begin(ledger, alice, turn_of(model("echo")))
    before = db.execute(query).fetchone()
    with pytest.raises(BudgetExceeded) as second:
        _begin(ledger, alice, turn_of(model("echo")))
    assert first.value.metadata == second.value.metadata
    assert first.value.metadata["period"] == "day"
    assert db.execute(query).fetchone() == before


def test_a_statement_that_fills_the_socket_arrives_whole(ledger: DirectConnections) -> None:
    """It is sent piece by piece as the database reads it, and its connection serves the next call."""
    for size in (1, 16_000_000, 1):
        assert ledger.call("node_key", {"node_id": 0, "base_url": "x" * size}, None) is None


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="apt install pgbouncer")
def test_a_pooler_in_transaction_mode_may_stand_between(
    alice: Person, model: Models, db: Database, stack: Stack
) -> None:
    """Two server connections serve twelve turns at once, each under its own user's claims."""
    people = [alice, *(sign_up(stack) for _ in range(3))]
    turns = [turn_of(model("echo")) for _ in range(12)]
    with _pooler(stack["LEDGER_DATABASE_URL"]) as url, ThreadPoolExecutor(12) as pool:
        ledger = DirectConnections(url)
        begun = list(pool.map(lambda n: _begin(ledger, people[n % 4], turns[n]), range(12)))
        assert [each["outcome"] for each in begun] == ["new"] * 12
        db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'parley_ledger' "
            "and state = 'idle' and application_name <> ''"
        )
        booked = list(pool.map(lambda turn: _finish(ledger, turn), turns))
        assert [each["outcome"] for each in booked] == ["settled"] * 12
        ledger.close()
    for person in people:
        _assert_one_turn(db, person, turns=3)


@contextlib.contextmanager
def _pooler(url: str) -> Iterator[str]:
    """PgBouncer in front of the database; the address of `url` behind it."""
    target, port = conninfo_to_dict(url), free_ports()
    folder = Path(tempfile.mkdtemp(prefix="parley-pooler-"))
    (folder / "users").write_text(f'"{target["user"]}" "{target["password"]}"\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host={target['host']} port={target['port']}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder / 'users'}\n"
        "pool_mode = transaction\ndefault_pool_size = 2\nserver_lifetime = 1\n"
    )
    postgres.make_reachable(folder)
    program = [str(shutil.which("pgbouncer")), str(folder / "ini")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(program, stdout=log, stderr=log, **postgres.as_system_user())
    try:
        address = url.replace(f":{target['port']}/", f":{port}/")
        eventually(lambda: _answers(address))
        yield address
    finally:
        process.kill()
        process.wait(10)
        shutil.rmtree(folder)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
