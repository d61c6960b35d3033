"""Turns whose database is down when they end, and the drain afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import jwt
import obstore
import pytest
from obstore.store import from_url

from shared import spool
from shared.errors import DatabaseUnavailable
from tests.bucket import serving_bucket
from tests.fakes.slow_model import Pausing, serving_pausing
from tests.fakes.tcp_proxy import Line, line_to
from tests.refresh_steps import drain_at_once
from tests.stack.conftest import Models
from tests.stack.ledger_client import WAYS
from tests.stack.people import Person, Stack, eventually, frames, log_row, receipt_of, service, text_of
from tests.stack.turns import Database, begin, entry_of, reserved_usd

_PIECES = ("Buy ESZ6 at $4,111.50 on 2026-11-21 and write to ada@exam", "ple.com about it.")
_LOGGED = "Buy ESZ6 at $4,111.50 on 2026-11-21 and write to [email] about it."
_COST = Decimal("0.00002")  # 10 tokens in and 5 out, as `model` prices them


@pytest.fixture
def pausing() -> Iterator[Pausing]:
    """A model that says its first piece at once and the rest when it is let."""
    with serving_pausing(*_PIECES) as running:
        yield running


@pytest.fixture
def line(stack: Stack) -> Iterator[Line]:
    """The function's line to the project."""
    with line_to(stack["SUPABASE_URL"]) as running:
        yield running


@pytest.fixture(params=WAYS)
def ledger_line(request: pytest.FixtureRequest, stack: Stack, line: Line) -> Iterator[tuple[Line, dict[str, str]]]:
    """The line that the function's ledger calls take, and the variables that make them take it."""
    if request.param == "data API":
        yield line, {"LEDGER_DATABASE_URL": ""}
    else:
        with line_to(stack["LEDGER_DATABASE_URL"]) as running:
            yield running, {"LEDGER_DATABASE_URL": running.address, "SUPABASE_SERVICE_KEY": ""}


@pytest.fixture(params=["folder", "bucket"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables of a spool of each kind."""
    if request.param == "folder":
        yield {"SPOOL_URL": (tmp_path / "spool").as_uri()}
    else:
        with serving_bucket() as variables:
            yield variables


@pytest.fixture
def legacy_secret(db: Database) -> str:
    """What signs tokens of any issuer that the project accepts; the embedded stack keeps it beside its database."""
    if secret := os.environ.get("SUPABASE_JWT_SECRET"):
        return secret
    found = db.execute("show data_directory").fetchone()
    keys = Path(found["data_directory"]).parent / "keys.json" if found else Path()
    if not keys.is_file():
        pytest.skip("the project's legacy secret is not known here")
    secret_there: str = json.loads(keys.read_text())["jwt_secret"]
    return secret_there


@pytest.mark.parametrize("drains", [1, 3])
def test_a_turn_whose_database_is_cut_after_the_first_word_is_spooled_and_booked_once(
    alice: Person,
    model: Models,
    pausing: Pausing,
    line: Line,
    ledger_line: tuple[Line, dict[str, str]],
    where: dict[str, str],
    function: Any,
    legacy_secret: str,
    db: Database,
    stack: Stack,
    environ: Callable[..., None],
    drains: int,
) -> None:
    """The client gets the whole answer and `spooled`; one refresh or three drains book one row."""
    lines_cut, way = {line, ledger_line[0]}, ledger_line[1]
    url, _ = function("chat", SUPABASE_URL=line.url, SUPABASE_JWT_SECRET=legacy_secret, **where, **way)
    body = {"message": "what now?", "model": model("pausing", base_url=pausing.url)}
    with _asking(url, body, _token(alice, line.url, legacy_secret)) as response:
        lines = response.iter_lines()
        read = [next(each for each in lines if "text-delta" in each)]
        for each in lines_cut:
            each.cut()
        pausing.may_go_on.set()
        read += list(lines)
    receipt = receipt_of(events := frames("\n\n".join(read)))
    assert text_of(events) == "".join(_PIECES)
    assert (receipt["logged"], receipt["cost_usd"]) == ("spooled", None)
    assert reserved_usd(db, alice) > 0
    assert alice.rows("chat_logs") == []

    environ(SUPABASE_URL=line.url, SUPABASE_SERVICE_KEY=stack["SUPABASE_SERVICE_KEY"], **where)
    with pytest.raises(DatabaseUnavailable):
        drain_at_once(1)
    assert len(_waiting()) == 1
    for each in lines_cut:
        each.restore()
    if drains == 1:
        refresh_url, _ = function("refresh", **where)
        assert _refresh(refresh_url, stack)["drained"] == 1
    else:
        outcomes = drain_at_once(drains)
        assert all(outcome["ok"] for outcome in outcomes)
        assert sum(outcome["drained"] for outcome in outcomes) == 1
    assert _waiting() == []
    _is_booked_once(db, alice, receipt["turn_id"])


def _is_booked_once(db: Database, person: Person, turn_id: str) -> None:
    row = log_row(db, turn_id)
    assert (row["status"], row["question"], row["response"]) == ("completed", "what now?", _LOGGED)
    assert (row["cost_usd"], row["input_tokens"], row["output_tokens"]) == (_COST, 10, 5)
    assert row["user_id_hash"].startswith("v1:")
    assert [m["content"] for m in person.rows("messages?order=created_at")] == ["what now?", _LOGGED]
    (counter,) = person.rows("usage_counters?period=eq.day")
    assert (Decimal(str(counter["spent_usd"])), counter["reserved_usd"], counter["requests"]) == (_COST, 0, 1)


def _poison(mark: str, person: Person, good: dict[str, Any]) -> dict[str, tuple[bytes, str, str | None]]:
    """Objects that cannot be booked, by key: the bytes, the reason, and the text that is kept of it."""
    never = {**good, "entry": good["entry"] | {"turn_id": str(uuid.uuid4())}}
    wrong = {**good, "entry": good["entry"] | {"usage": {"input_tokens": "many"}}}

    def whose(text: str) -> bytes:
        return f'{text} "user_id": "{person.id}"'.encode()

    return {
        f"{mark}-0": (whose("not json, ada@example.com"), "not_json", whose("not json, [email]").decode()),
        f"{mark}-1": (b"", "not_json", None),
        f"{mark}-2": (b"[" * 100_000, "not_json", None),
        f"{mark}-3": (b'{"version": NaN}', "not_json", None),
        f"{mark}-4": (b"\xff\x00" + whose(""), "not_json", "\ufffd\ufffd" + whose("").decode()),
        f"{mark}-5": (b"[1]", "wrong_version", None),
        f"{mark}-6": (b"[" + whose("") + b"]", "not_json", "[" + whose("").decode() + "]"),
        f"{mark}-7": (b'{"version": 1, "entry": {"turn_id": "x"}}', "wrong_entry", None),
        f"{mark}-8": (b" " * (spool.MAX_BYTES + 1), "too_large", None),
        f"{mark}-9": (json.dumps(never).encode(), "unknown_turn", json.dumps(never)),
        f"{mark}-a": (json.dumps(wrong).encode(), "refused", json.dumps(wrong)),
        f"{mark}-b": (json.dumps(never | {"user_id": str(uuid.uuid4())}).encode(), "unknown_turn", None),
    }


def test_what_has_no_place_is_quarantined_and_the_rest_is_drained(
    alice: Person, model: Models, db: Database, stack: Stack, where: dict[str, str], environ: Callable[..., None]
) -> None:
    """Every way to be wrong has its reason, the good ones among them are booked, and nothing is left over.

    The text of an object is kept only where it says whose it is.
    """
    environ(SUPABASE_URL=stack["SUPABASE_URL"], SUPABASE_SERVICE_KEY=stack["SUPABASE_SERVICE_KEY"], **where)
    good = [_begun(alice, model("echo")) for _ in range(5)]
    mark = uuid.uuid4().hex
    poison = _poison(mark, alice, good[0])
    objects = {f"{key}.json": raw for key, (raw, _, _) in poison.items()}
    objects |= {spool.key_of(record): json.dumps(record).encode() for record in good}
    asyncio.run(_put(objects))
    outcomes = drain_at_once(3)
    assert [outcome["ok"] for outcome in outcomes] == [True] * 3
    assert [outcome["left"] for outcome in outcomes] == [0] * 3
    assert sum(outcome["drained"] for outcome in outcomes) == len(good)
    assert _waiting() == []
    found = db.execute("select * from private.spool_quarantine where object_key like %s", [f"{mark}%"]).fetchall()
    assert {row["object_key"]: row["reason"] for row in found} == {f"{k}.json": r for k, (_, r, _) in poison.items()}
    kept = {row["object_key"]: row["record"] for row in found}
    assert all(kept[f"{key}.json"] == text for key, (_, why, text) in poison.items() if why != "wrong_entry")
    assert {row["response"] for row in alice.rows("chat_logs")} == {"hello"}
    assert reserved_usd(db, alice) == 0
    (counter,) = alice.rows("usage_counters?period=eq.day")
    assert Decimal(str(counter["spent_usd"])) == 5 * Decimal("0.002")


def test_quarantined_words_go_with_their_person(alice: Person, db: Database, stack: Stack) -> None:
    """A quarantined record is deleted with its user's data; repeated quarantining keeps one record."""
    key = f"{uuid.uuid4()}.json"
    arguments = {"object_key": key, "reason": "unknown_turn", "record": "their words", "user_id": alice.id}
    for _ in range(2):
        assert service(stack, "POST", "rpc/quarantine_spooled", json=arguments).status_code in {200, 204}
    found = db.execute("select record from private.spool_quarantine where object_key = %s", [key]).fetchall()
    assert [row["record"] for row in found] == ["their words"]
    db.execute("delete from auth.users where id = %s", [alice.id])
    assert db.execute("select from private.spool_quarantine where object_key = %s", [key]).fetchall() == []


@pytest.mark.parametrize(("minutes", "kept"), [(-60, None), (-1, None), (14, None), (16, "their words"), (None, None)])
def test_what_was_spooled_before_its_person_was_forgotten_comes_back_nowhere(
    alice: Person, db: Database, stack: Stack, minutes: int | None, kept: str | None
) -> None:
    """A record that was spooled up to a lease after the deletion, or without a time, is not kept."""
    assert alice.rest("POST", "rpc/delete_my_data").status_code == 204
    spooled_at = datetime.now(UTC) + timedelta(minutes=minutes) if minutes is not None else None
    key = f"{uuid.uuid4()}.json"
    arguments = {"object_key": key, "reason": "unknown_turn", "record": "their words", "user_id": alice.id}
    arguments |= {"spooled_at": spooled_at.isoformat()} if spooled_at else {}
    assert service(stack, "POST", "rpc/quarantine_spooled", json=arguments).status_code in {200, 204}
    found = db.execute("select record, reason from private.spool_quarantine where object_key = %s", [key]).fetchall()
    assert found == [{"record": kept, "reason": "unknown_turn"}]


def test_only_the_service_quarantines(alice: Person, stack: Stack) -> None:
    """Users can neither write nor read quarantined records."""
    arguments = {"object_key": "x.json", "reason": "refused"}
    assert alice.rest("POST", "rpc/quarantine_spooled", json=arguments).status_code == 403
    assert alice.rest("GET", "spool_quarantine").status_code == 404
    assert service(stack, "GET", "spool_quarantine").status_code == 404


def test_a_person_deleted_while_their_turn_is_spooled_leaves_money_but_no_words(
    alice: Person,
    model: Models,
    db: Database,
    stack: Stack,
    tmp_path: Path,
    environ: Callable[..., None],
) -> None:
    """The drain books the cost and stores none of the user's text."""
    environ(SUPABASE_URL=stack["SUPABASE_URL"], SUPABASE_SERVICE_KEY=stack["SUPABASE_SERVICE_KEY"])
    environ(SPOOL_URL=tmp_path.as_uri())
    record = _begun(alice, model("echo"))
    asyncio.run(_put({spool.key_of(record): json.dumps(record).encode()}))
    db.execute("delete from auth.users where id = %s", [alice.id])
    assert drain_at_once(1) == [{"ok": True, "drained": 1, "duplicates": 0, "quarantined": 0, "left": 0}]
    row = log_row(db, record["entry"]["turn_id"])
    assert (row["user_id"], row["question"], row["response"], row["user_id_hash"]) == (None, None, None, None)
    assert row["cost_usd"] == Decimal("0.002")
    assert list(tmp_path.iterdir()) == []
    assert reserved_usd(db, alice) == 0


def _begun(person: Person, model: str) -> dict[str, Any]:
    """The record of a turn that was begun."""
    return spool.record_of(entry_of(begin(person, model), user_id_hash="v1:00"), person.id)


async def _put(objects: dict[str, bytes]) -> None:
    url = os.environ["SPOOL_URL"]
    store = from_url(url, mkdir=True) if url.startswith("file:") else from_url(url)
    for key, raw in objects.items():
        await obstore.put_async(store, key, raw)


def _waiting() -> list[spool.SpooledObject]:
    return asyncio.run(spool.waiting(100))


def _refresh(url: str, stack: Stack) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}

    def ran() -> Any:  # another test's run may hold the lease
        answer = httpx.post(url, json={"steps": ["spool"]}, headers=headers, timeout=60)
        assert answer.status_code in {200, 409}, answer.text
        return answer.json() if answer.status_code == 200 else None

    outcome: dict[str, Any] = eventually(ran)["steps"]["spool"]
    return outcome


@contextlib.contextmanager
def _asking(url: str, body: dict[str, Any], token: str) -> Iterator[httpx.Response]:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.stream("POST", url, json=body, headers=headers, timeout=30) as response:
        assert response.status_code == 200, response.read()
        yield response


def _token(person: Person, issuer: str, secret: str) -> str:
    now = int(time.time())
    claims = {"sub": person.id, "aud": "authenticated", "role": "authenticated", "iat": now, "exp": now + 60}
    return jwt.encode(claims | {"iss": f"{issuer}/auth/v1"}, secret, "HS256")
