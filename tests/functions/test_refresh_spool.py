"""The drain of the spool: each kind of object, and failures of the spool and the database."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.refresh import spool as step
from functions.refresh.spool import NotARecordError, Origin, Record, origin_of, parse
from functions.refresh.steps import NAMES
from shared import spool
from shared.errors import DatabaseUnavailable, DependencyDown, NotConfigured
from shared.spool import SpooledObject, key_of, record_of
from tests.fakes.supabase import Project
from tests.refresh_steps import run_step

pytestmark = pytest.mark.anyio

FINISH, QUARANTINE = "/rest/v1/rpc/chat_finish", "/rest/v1/rpc/quarantine_spooled"
_PERSON = "99999999-2222-4333-8444-555555555555"
_IDS = {"turn_id": "11111111-2222-4333-8444-555555555555", "worker_id": "66666666-7777-4888-9999-000000000000"}
_NOTHING = {"drained": 0, "duplicates": 0, "quarantined": 0, "left": 0}


def _record(number: int = 0) -> dict[str, Any]:
    worker = f"66666666-7777-4888-9999-{number:012}"
    return record_of(_IDS | {"worker_id": worker, "status": "completed", "response": "hello"}, _PERSON)


def _spooled(folder: Path, *records: dict[str, Any]) -> None:
    for record in records:
        (folder / key_of(record)).write_text(json.dumps(record))


@pytest.fixture
def folder(project: Project, environ: Callable[..., None], tmp_path: Path) -> Path:
    """The spool, a folder; the database books everything."""
    environ(SPOOL_URL=tmp_path.as_uri())
    project.answers = {FINISH: (200, {"outcome": "settled"}), QUARANTINE: (204, "")}
    return tmp_path


async def test_without_a_spool_there_is_nothing_to_do(project: Project) -> None:
    """The step makes no request to the database."""
    assert await run_step(step.run, is_dry_run=False) == {"ok": True, **_NOTHING}
    assert project.asked == []


async def test_the_step_comes_after_the_models_and_before_the_sweep() -> None:
    """A spooled turn is booked with its own status, not first as abandoned."""
    names = NAMES
    assert names.index("models") < names.index("spool") < names.index("sweep")


@pytest.mark.parametrize(
    ("outcome", "count"), [("settled", "drained"), ("stale", "drained"), ("duplicate", "duplicates")]
)
async def test_what_the_database_took_leaves_the_spool(
    project: Project, folder: Path, outcome: str, count: str
) -> None:
    """The entry is sent unchanged with the service key; then the object is deleted."""
    project.answers[FINISH] = (200, {"outcome": outcome})
    _spooled(folder, _record())
    assert await run_step(step.run, is_dry_run=False) == {"ok": True, **_NOTHING, count: 1}
    assert project.asked_of("chat_finish") == [{"entry": _record()["entry"]}]
    assert project.asked[0].headers["apikey"] == "sb_secret_x"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("status", "answer"), [(503, "down"), (401, {"message": "no"}), (403, {"message": "no"})])
async def test_a_database_that_is_down_or_refuses_us_fails_the_step_and_everything_stays(
    project: Project, folder: Path, status: int, answer: Any
) -> None:
    """The failure is not caused by a record, so all objects stay."""
    project.answers[FINISH] = (status, answer)
    _spooled(folder, *map(_record, range(10)))
    with pytest.raises(Exception, match=r"database|token"):
        await run_step(step.run, is_dry_run=False)
    assert len(list(folder.iterdir())) == 10
    assert project.asked_of("quarantine_spooled") == []


async def test_a_database_that_takes_no_entry_at_all_is_not_the_records_fault(project: Project, folder: Path) -> None:
    """If chat_finish refuses every entry, all objects stay and the step fails."""
    project.answers[FINISH] = (404, {"code": "PGRST202", "message": "no such function"})
    _spooled(folder, *map(_record, range(10)))
    assert await run_step(step.run, is_dry_run=False) == {"ok": False, **_NOTHING, "left": 10}
    assert len(list(folder.iterdir())) == 10
    assert project.asked_of("quarantine_spooled") == []


async def test_an_unknown_turn_is_quarantined_with_its_record(project: Project, folder: Path) -> None:
    """The record is quarantined with its owner before the object is deleted."""
    project.answers[FINISH] = (200, {"outcome": "unknown"})
    _spooled(folder, _record())
    assert await run_step(step.run, is_dry_run=False) == {"ok": True, **_NOTHING, "quarantined": 1}
    (received,) = project.asked_of("quarantine_spooled")
    assert (received["object_key"], received["reason"], received["user_id"]) == (
        key_of(_record()),
        "unknown_turn",
        _PERSON,
    )
    assert json.loads(received["record"])["entry"] == _record()["entry"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("log_content", "kept"), [("redacted", "call [phone]"), ("none", None)])
async def test_what_others_left_there_is_redacted_before_it_is_set_aside(
    project: Project, folder: Path, environ: Callable[..., None], log_content: str, kept: str | None
) -> None:
    """An invalid object is quarantined with redacted text, or with none if LOG_CONTENT=none."""
    environ(LOG_CONTENT=log_content)
    (folder / "odd.json").write_text("call +49 170 1234567")
    assert (await run_step(step.run, is_dry_run=False))["quarantined"] == 1
    (received,) = project.asked_of("quarantine_spooled")
    assert (received["reason"], received["record"]) == ("not_json", kept)


async def test_what_cannot_be_set_aside_stays(project: Project, folder: Path) -> None:
    """If the database is down, the object stays, and valid records of the batch are still booked."""
    project.answers[QUARANTINE] = (503, "down")
    (folder / "odd.json").write_text("?")
    _spooled(folder, _record())
    with pytest.raises(DatabaseUnavailable):
        await run_step(step.run, is_dry_run=False)
    assert [path.name for path in folder.iterdir()] == ["odd.json"]


async def test_one_object_that_cannot_be_read_stops_no_other(
    project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays for the next run, the others are booked, and the step is not ok."""
    _spooled(folder, *map(_record, range(3)))
    read = spool.read

    async def reading(each: SpooledObject) -> bytes | None:
        if each.key == key_of(_record(1)):
            raise DependencyDown("The spool cannot be reached.")
        return await read(each)

    monkeypatch.setattr(spool, "read", reading)
    assert await run_step(step.run, is_dry_run=False) == {"ok": False, **_NOTHING, "drained": 2, "left": 1}
    assert [path.name for path in folder.iterdir()] == [key_of(_record(1))]
    assert len(project.asked) == 2


async def test_a_step_that_fails_leaves_nothing_running_behind_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the step raises, all its tasks have ended."""
    _spooled(folder, *map(_record, range(5)))
    read = spool.read

    async def reading(each: SpooledObject) -> bytes | None:
        if each.key == key_of(_record(1)):
            raise DatabaseUnavailable("The database cannot be reached right now.")
        return await read(each)

    monkeypatch.setattr(spool, "read", reading)
    with pytest.raises(DatabaseUnavailable):
        await run_step(step.run, is_dry_run=False)
    assert [path.name for path in folder.iterdir()] == [key_of(_record(1))]


async def test_a_dry_run_counts_and_touches_nothing(project: Project, folder: Path) -> None:
    """A dry run only lists the objects."""
    _spooled(folder, *map(_record, range(3)))
    assert await run_step(step.run, is_dry_run=True) == {"ok": True, **_NOTHING, "left": 3}
    assert len(list(folder.iterdir())) == 3
    assert project.asked == []


async def test_a_backlog_takes_several_runs(project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects that a run has no time for are left, and the step is ok."""
    _spooled(folder, *map(_record, range(20)))
    clock = itertools.count(0, 40)
    monkeypatch.setattr(step, "clock", lambda: next(clock))
    assert await run_step(step.run, is_dry_run=False) == {"ok": True, **_NOTHING, "drained": 8, "left": 12}
    assert len(project.asked) == 8


async def test_a_spool_that_cannot_be_reached_or_opened_fails_the_step(
    project: Project, environ: Callable[..., None]
) -> None:
    """The step's error names which it was; the database is not asked."""
    environ(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ALLOW_HTTP="1", AWS_REGION="x")
    environ(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", SPOOL_URL="s3://nobody/there")
    with pytest.raises(DependencyDown, match="spool"):
        await run_step(step.run, is_dry_run=False)
    environ(SPOOL_URL="nonsense")
    with pytest.raises(NotConfigured, match="SPOOL_URL"):
        await run_step(step.run, is_dry_run=False)
    assert project.asked == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from([1, *_IDS.values()]),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["version", "entry", "turn_id", "worker_id", "x"]), inner)
    ),
)


@given(st.binary() | _JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_lies_there_is_a_record_or_is_rejected_with_its_reason(raw: bytes) -> None:
    """Any bytes give a record that the database accepts, or NotARecordError."""
    try:
        record = parse(raw)
    except NotARecordError as error:
        reason = str(error)
    else:
        reason = json.dumps(record.entry, allow_nan=False)[0]
    assert reason in {"not_json", "wrong_version", "wrong_entry", "{"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "wrong_version"),
        ({"version": True}, "wrong_version"),
        ({"version": "1"}, "wrong_version"),
        ({"entry": []}, "wrong_entry"),
        ({"entry": _IDS | {"worker_id": "66666666777748889999000000000000"}}, "wrong_entry"),
        ({"entry": _IDS | {"turn_id": None}}, "wrong_entry"),
        ({"entry": _IDS | {"duration_ms": float("inf")}}, "not_json"),
    ],
    ids=str,
)
def test_a_record_that_is_almost_right_is_rejected_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    """A wrong version, form, id or number has its own reason."""
    with pytest.raises(NotARecordError, match=reason):
        parse(json.dumps(_record() | changes).encode())


@pytest.mark.parametrize(("user_id", "read"), [(_PERSON, _PERSON), ("", None), ("x", None), (5, None)])
def test_a_person_is_known_by_a_canonical_id(user_id: Any, read: str | None) -> None:
    """With any other value the record has no owner, and its cost is still booked."""
    record = _record() | {"user_id": user_id}
    assert parse(json.dumps(record).encode()) == Record(record["entry"], Origin(read, _moment(record)))


def _moment(record: dict[str, Any]) -> str:
    return datetime.fromisoformat(record["spooled_at"]).isoformat()


@pytest.mark.parametrize("change", [lambda text: text[:-20], lambda text: text.replace('"version": 1', '"version": 2')])
def test_what_is_no_record_still_says_whose_it_is(change: Callable[[str], str]) -> None:
    """An invalid object's user and time are found, so that a deletion of the user finds it."""
    record = _record()
    assert origin_of(change(json.dumps(record))) == Origin(_PERSON, _moment(record))


@pytest.mark.parametrize(
    "text",
    ["", '{"user_id": "x", "spooled_at": "2026-W01"}', f'"user_id":"{_PERSON}" "user_id": "{_IDS["worker_id"]}"'],
)
def test_a_record_with_no_or_several_users_has_no_owner(text: str) -> None:
    """With a guessed owner, a deletion of the other user would not find the text."""
    assert origin_of(text) == Origin()


async def test_what_is_too_large_to_be_read_is_put_aside_whole(project: Project, folder: Path) -> None:
    """It moves to quarantine/ in the store, and the row has its new key."""
    huge = "x" * (spool.MAX_BYTES + 1)
    (folder / "huge.json").write_text(huge)
    assert (await run_step(step.run, is_dry_run=False))["quarantined"] == 1
    (received,) = project.asked_of("quarantine_spooled")
    assert (received["reason"], received["record"], received["kept_key"]) == ("too_large", None, "quarantine/huge.json")
    assert (folder / "quarantine" / "huge.json").read_text() == huge
    assert not (folder / "huge.json").exists()
    assert await run_step(step.run, is_dry_run=False) == {"ok": True, **_NOTHING}
