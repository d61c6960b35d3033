"""The spool on every kind of store: created once, listed, read, removed, and never slower than its bound."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import object_store, spool
from shared.errors import DependencyDown, NotConfigured
from shared.privacy import WITHHELD
from shared.spool import SpooledObject, key_of, record_of
from tests.bucket import serving_bucket

pytestmark = pytest.mark.anyio

_TURN, _WORKER = "11111111-2222-4333-8444-555555555555", "66666666-7777-4888-9999-000000000000"
_PERSON = "99999999-2222-4333-8444-555555555555"
_KEY = f"{_TURN}.{_WORKER}.json"
_ENTRY = {
    "turn_id": _TURN,
    "worker_id": _WORKER,
    "status": "completed",
    "content": "Write to ada@example.com — ok",
    "response": "Write to [email] — ok",
    "user_id_hash": "v1:00",
}


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """S3 on loopback."""
    with serving_bucket() as variables:
        yield variables


@pytest.fixture(params=["memory", "file", "s3"])
def store(request: pytest.FixtureRequest, environ: Callable[..., None], tmp_path: Path) -> None:
    """An empty spool of each kind."""
    if request.param == "s3":
        variables = request.getfixturevalue("bucket")
        environ(**variables | {"SPOOL_URL": f"{variables['SPOOL_URL']}/{tmp_path.name}"})
    else:
        kinds = {"memory": f"memory://{tmp_path}", "file": (tmp_path / "a folder").as_uri()}
        environ(SPOOL_URL=kinds[request.param])


@pytest.mark.usefixtures("store")
async def test_a_record_is_kept_found_read_and_removed() -> None:
    """The record is read as it was written, under a key with turn and worker."""
    record = record_of(_ENTRY, _PERSON)
    assert await spool.keep(record)
    (found,) = await spool.waiting(10)
    assert found.key == key_of(record) == _KEY
    raw = await spool.read(found)
    assert raw is not None
    assert json.loads(raw) == record
    assert found.size == len(raw)
    await spool.discard(found)
    assert await spool.waiting(10) == []


@pytest.mark.usefixtures("store")
async def test_a_record_is_created_only_if_absent() -> None:
    """The first record stays; another attempt at the turn has its own object."""
    first = record_of(_ENTRY, _PERSON)
    later = record_of(_ENTRY | {"response": "something else"}, _PERSON)
    assert [await spool.keep(each) for each in (first, later)] == [True, True]
    (found,) = await spool.waiting(10)
    assert json.loads(await spool.read(found) or b"") == first
    assert await spool.keep(record_of(_ENTRY | {"worker_id": _TURN}, _PERSON))
    assert len(await spool.waiting(10)) == 2


@pytest.mark.usefixtures("store")
async def test_many_writers_of_one_attempt_leave_one_whole_record() -> None:
    """Of concurrent writes one complete record is kept."""
    records = [record_of(_ENTRY | {"response": str(number) * 1000}, _PERSON) for number in range(8)]
    assert all(await asyncio.gather(*(spool.keep(each) for each in records)))
    (found,) = await spool.waiting(10)
    assert json.loads(await spool.read(found) or b"") in records


@pytest.mark.usefixtures("store")
async def test_what_another_drain_took_is_gone_without_a_failure() -> None:
    """Reading a removed object gives None, removing it again is no error, and `limit` limits the list."""
    gone = SpooledObject(_KEY, 10)
    assert await spool.read(gone) is None
    await spool.discard(gone)
    for number in range(5):
        await spool.keep(record_of(_ENTRY | {"worker_id": str(number)}, _PERSON))
    assert len(await spool.waiting(3)) == 3


@pytest.mark.usefixtures("store")
async def test_an_object_is_put_aside_in_the_same_store() -> None:
    """The copy can be read and is not listed; a removed object gives None."""
    assert await spool.keep(record_of(_ENTRY, _PERSON))
    (found,) = await spool.waiting(10)
    kept = await spool.set_aside(found)
    assert kept == f"quarantine/{_KEY}"
    assert await spool.read(SpooledObject(kept, found.size)) == await spool.read(found)
    await spool.discard(found)
    assert await spool.waiting(10) == []
    assert await spool.set_aside(found) is None


async def test_only_records_right_under_the_url_are_ours(environ: Callable[..., None], tmp_path: Path) -> None:
    """Folders below, other kinds of files and other prefixes of a bucket are ignored; an empty file is seen."""
    environ(SPOOL_URL=tmp_path.as_uri())
    (tmp_path / "exports").mkdir()
    for name in ("exports/a.json", "notes.txt", ".hidden", "b.json"):
        (tmp_path / name).write_bytes(b"")
    assert await spool.waiting(10) == [SpooledObject("b.json", 0)]
    assert await spool.read(SpooledObject("b.json", 0)) == b""


async def test_a_bucket_holds_the_records_under_its_prefix(
    environ: Callable[..., None], bucket: dict[str, str]
) -> None:
    """Objects beside or above the prefix are not listed."""
    environ(**bucket)
    assert await spool.keep(record_of(_ENTRY, _PERSON))
    for other in ("some", "some/pre", "some/prefix/below"):
        environ(SPOOL_URL=f"s3://{bucket['SPOOL_URL'].split('/')[2]}/{other}")
        assert await spool.waiting(10) == []
        assert await spool.keep(record_of(_ENTRY | {"worker_id": _TURN}, _PERSON))
    environ(**bucket)
    (found,) = await spool.waiting(10)
    assert found.key == _KEY


async def test_a_store_that_does_not_answer_costs_a_bounded_time(
    environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch, bucket: dict[str, str]
) -> None:
    """After the time limit keep() returns False, and waiting() raises the cause."""
    monkeypatch.setattr(spool, "KEEP_SECONDS", 0.2)
    monkeypatch.setattr(object_store, "CALL_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environ(**bucket | {"AWS_ENDPOINT_URL": address, "SPOOL_URL": "s3://silent/spool"})
        found = SpooledObject(_KEY, 10)
        async with asyncio.timeout(30):  # the store never answers
            assert not await spool.keep(record_of(_ENTRY, _PERSON))
            for action in (spool.waiting(10), spool.read(found), spool.discard(found)):
                with pytest.raises(DependencyDown):
                    await action


@pytest.mark.parametrize("url", ["s3://unreachable/spool", "s3://", "ftp://host/x", "nonsense", "file:///dev/null/x"])
async def test_a_store_that_fails_is_no_and_one_line(
    environ: Callable[..., None], capsys: pytest.CaptureFixture[str], url: str
) -> None:
    """With no server or an invalid URL keep() returns False and logs one line."""
    environ(SPOOL_URL=url, AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ALLOW_HTTP="1", AWS_REGION="x")
    environ(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x")
    assert not await spool.keep(record_of(_ENTRY, _PERSON))
    assert json.loads(capsys.readouterr().out)["event"] == "spool_failed"
    if not url.startswith("s3://u"):
        with pytest.raises(NotConfigured, match="SPOOL_URL"):
            await spool.waiting(10)


async def test_without_a_url_there_is_no_spool(environ: Callable[..., None]) -> None:
    """keep() returns False, and waiting() returns nothing."""
    environ()
    assert not await spool.keep(record_of(_ENTRY, _PERSON))
    assert await spool.waiting(10) == []


def test_a_record_is_complete_in_itself_and_holds_no_verbatim_words() -> None:
    """A record has version, time, user, hash and the entry for chat_finish with redacted text."""
    record = record_of(_ENTRY, _PERSON)
    assert (record["version"], record["user_id"], record["user_id_hash"]) == (1, _PERSON, "v1:00")
    assert record["spooled_at"].endswith("+00:00")
    assert record["entry"] == _ENTRY | {"content": _ENTRY["response"]}


@pytest.mark.parametrize("response", [None, ""])
def test_a_record_without_words_for_the_log_has_none_at_all(response: Any) -> None:
    """With LOG_CONTENT=none or store: false a marker replaces the text."""
    assert record_of(_ENTRY | {"response": response}, _PERSON)["entry"]["content"] == WITHHELD
    assert record_of(_ENTRY | {"response": response, "content": ""}, _PERSON)["entry"]["content"] == ""


async def test_a_record_that_is_too_large_to_be_drained_keeps_its_money(
    environ: Callable[..., None], tmp_path: Path
) -> None:
    """A record over the limit is spooled without its text, so that its cost can be booked."""
    environ(SPOOL_URL=tmp_path.as_uri())
    record = record_of(_ENTRY | {"response": "x" * spool.MAX_BYTES, "duration_ms": 5}, _PERSON)
    assert (record["entry"]["content"], record["entry"]["response"]) == (WITHHELD, WITHHELD)
    assert record["entry"]["duration_ms"] == 5
    assert await spool.keep(record)
    assert (await spool.waiting(10))[0].size < spool.MAX_BYTES


async def test_odd_characters_are_stored_as_a_database_takes_them(environ: Callable[..., None], tmp_path: Path) -> None:
    """NUL and lone surrogates become U+FFFD, and nothing else changes."""
    environ(SPOOL_URL=tmp_path.as_uri())
    await spool.keep(record_of(_ENTRY | {"response": "a\x00b\ud800c\u2028d😀"}, _PERSON))
    raw = (tmp_path / _KEY).read_bytes()
    assert json.loads(raw)["entry"]["response"] == "a\ufffdb\ufffdc\u2028d😀"
