"""Finished days of the log as Parquet files, over refresh, a real database and DuckDB as the reader."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import httpx
import obstore
import pytest
from obstore.store import from_url

from functions.refresh.parquet import COLUMNS
from tests.bucket import serving_bucket
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack
from tests.stack.regenerations import join
from tests.stack.turns import Database, begin, finish

Export = Callable[[], dict[str, Any]]
_PAGE = Path(__file__).parents[2] / "docs" / "analytics.md"
_PAST = datetime.now(UTC).replace(hour=10, minute=30, second=0, microsecond=123456)


def _ago(days: int) -> str:
    return f"{_PAST - timedelta(days=days):%Y-%m-%d}"


def _turn(person: Person, model: str, db: Database, days: int, question: str) -> str:
    """The id of a turn that was asked some days ago."""
    words = {"message": question, "question": question, "metadata": {"note": question}}
    turn = begin(person, model, requested_model=model, **words)
    assert finish(person, turn, content="fine", response="fine")["outcome"] == "settled"
    db.execute(
        "update public.chat_logs set created_at = %s where turn_id = %s",
        (_PAST - timedelta(days=days), turn["turn_id"]),
    )
    return str(turn["turn_id"])


@pytest.fixture(params=["file", "s3"])
def lake(
    request: pytest.FixtureRequest, stack: Stack, function: Any, tmp_path: Path
) -> Iterator[tuple[Export, Callable[[], Path]]]:
    """Runs the step `export` on a store; gives the folder of its files, which are fetched first from a bucket."""
    folder = tmp_path / "lake"
    with serving_bucket() as bucket:
        store_url = f"{bucket['SPOOL_URL']}" if request.param == "s3" else folder.as_uri()
        variables = {name: value for name, value in bucket.items() if name != "SPOOL_URL"}
        url, _ = function("refresh", EXPORT_URL=store_url, **variables)

        def export() -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
            step = httpx.post(url, json={"steps": ["export"]}, headers=headers, timeout=120).json()["steps"]["export"]
            assert step["ok"], json.dumps(step)
            ledger: dict[str, Any] = step["ledger"]
            return ledger

        def files() -> Path:
            if request.param == "file":
                return folder
            options = {name.lower(): value for name, value in variables.items() if name != "AWS_ALLOW_HTTP"}
            store = from_url(store_url, config=options, client_options={"allow_http": True})  # type: ignore[call-overload]
            fetched = tmp_path / "fetched"
            for meta in obstore.list(store, "ledger/").collect():
                path = fetched / meta["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(bytes(obstore.get(store, meta["path"]).bytes()))
            return fetched

        yield export, files


def _query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """The rows of DuckDB's query over the lake, the table `ledger`."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        path = folder / "ledger" / "day=*" / "*.parquet"
        source = f"read_parquet('{path}', hive_partitioning = true)"
        return connection.sql(sql.replace("ledger", source)).fetchall()


def test_duckdb_reads_the_same_sums_as_sql(
    lake: tuple[Export, Callable[[], Path]], alice: Person, bob: Person, model: Models, db: Database
) -> None:
    """Turns, tokens and cost by day and model are those of chat_logs, to the last digit."""
    export, files = lake
    name = model("echo")
    for days, person in ((2, alice), (2, bob), (3, alice), (0, alice)):
        _turn(person, name, db, days, "sum?")
    counts = export()
    assert counts["days"] >= 2
    assert counts["left"] == 0
    sums = "model_identifier, count(*) as n, sum(input_tokens)::bigint as tokens, sum(cost_usd) as cost"
    found = _query(
        files(), f"select day::varchar, {sums}, epoch_us(max(created_at)) from ledger group by all order by 1, 2"
    )
    rows = db.execute(
        f"select (created_at at time zone 'utc')::date::text as day, {sums}, "
        "(extract(epoch from max(created_at)) * 1000000)::bigint as at "
        "from public.chat_logs where created_at < date_trunc('day', now(), 'utc') group by 1, 2 order by 1, 2"
    ).fetchall()
    assert {tuple(row.values()) for row in rows} == set(found)
    assert any(isinstance(row[4], Decimal) and row[4] > 0 for row in found)
    assert export() == {"days": 0, "rows": 0, "left": 0}  # what is written is not written again


@pytest.mark.parametrize("lake", ["file"], indirect=True)
def test_the_query_of_the_documentation_runs(
    lake: tuple[Export, Callable[[], Path]], alice: Person, model: Models, db: Database
) -> None:
    """DuckDB runs the query of docs/analytics.md and finds each day and model."""
    export, files = lake
    _turn(alice, model("echo"), db, 2, "documented?")
    export()
    found = re.search(r"DuckDB:\n\n```text\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    assert found
    with duckdb.connect() as connection:
        rows = connection.sql(found[1].replace("s3://bucket", str(files()))).fetchall()
    assert any(str(row[0]) == _ago(2) and row[3] > 0 for row in rows if row[3])


@pytest.mark.parametrize("lake", ["file"], indirect=True)
def test_a_late_row_a_correction_and_a_deletion_write_their_day_again(
    lake: tuple[Export, Callable[[], Path]], alice: Person, bob: Person, model: Models, db: Database
) -> None:
    """The day's files then have the new row, the new cost, and no name of a user whose data was deleted."""
    export, files = lake
    name = model("echo")
    first = _turn(alice, name, db, 2, "late?")
    _turn(bob, name, db, 4, "gone?")
    export()
    second = _turn(alice, name, db, 2, "later?")
    db.execute("update public.chat_logs set cost_usd = 0.123456789 where turn_id = %s", (first,))
    assert bob.rest("POST", "rpc/delete_my_data", json={}).status_code == 204
    assert export()["days"] == 2
    costs = dict(_query(files(), "select turn_id, cost_usd from ledger"))
    assert costs[first] == Decimal("0.123456789")
    assert second in costs
    assert _query(files(), f"select count(*) from ledger where user_id = '{bob.id}'") == [(0,)]
    db.execute(
        "delete from public.chat_logs where turn_id in (select l.turn_id from public.chat_logs as l "
        "where (l.created_at at time zone 'utc')::date = %s)",
        (_ago(4),),
    )
    assert export()["days"] == 1
    assert not list((files() / "ledger" / f"day={_ago(4)}").glob("*"))


@pytest.mark.parametrize("lake", ["file"], indirect=True)
def test_words_leave_only_with_consent(
    lake: tuple[Export, Callable[[], Path]], alice: Person, bob: Person, model: Models, db: Database
) -> None:
    """Words are null without consent, and again after it was taken back; encrypted words stay in the database."""
    export, files = lake
    name = model("echo")
    mine = _turn(alice, name, db, 2, "open words?")
    _turn(bob, name, db, 2, "closed words?")
    sealed = _turn(alice, name, db, 2, "enc:v1:k1:AAAA")
    profile = {"user_id": alice.id, "allows_training": True}
    headers = {"Prefer": "resolution=merge-duplicates"}
    assert alice.rest("POST", "user_llm_profiles", json=profile, headers=headers).status_code in {200, 201}
    export()
    words = "select turn_id, question from ledger where question is not null or response is null order by 2"
    with_words = {turn: question for turn, question in _query(files(), words) if question and "words?" in question}
    assert with_words == {mine: "open words?"}
    assert _query(files(), f"select question from ledger where turn_id = '{sealed}'") == [(None,)]
    assert alice.rest(
        "POST", "user_llm_profiles", json=profile | {"allows_training": False}, headers=headers
    ).is_success
    assert export()["days"] == 1
    assert b"open words?" not in b"".join(path.read_bytes() for path in files().rglob("*.parquet"))
    assert _query(files(), "select count(*) from ledger where question is not null or metadata is not null") == [(0,)]


@pytest.mark.parametrize("lake", ["file"], indirect=True)
def test_words_of_a_group_leave_only_with_the_consent_of_all_its_authors(
    lake: tuple[Export, Callable[[], Path]], alice: Person, bob: Person, model: Models, db: Database
) -> None:
    """An answer may repeat the words of each author, so a day is written again when one changes the consent."""
    export, files = lake
    name = model("echo")
    mine = _turn(alice, name, db, 2, "group words?")
    (group,) = {row["conversation_id"] for row in alice.rows(f"chat_logs?turn_id=eq.{mine}")}
    join(alice, bob, group)
    turn = begin(bob, name, message="bob's?", question="bob's?", conversation_id=group)
    finish(bob, turn, content="fine", response="fine")
    words = f"select question, requested_model is null from ledger where turn_id = '{mine}'"
    consent = (
        "insert into public.user_llm_profiles (user_id, allows_training) values (%s, %s)"
        " on conflict (user_id) do update set allows_training = excluded.allows_training"
    )
    found = []
    for person, allows in ((alice, True), (bob, True), (bob, False)):
        db.execute(consent, [person.id, allows])
        export()
        found += _query(files(), words)
    assert found == [(None, True), ("group words?", False), (None, True)]


@pytest.mark.parametrize("lake", ["file"], indirect=True)
def test_a_day_in_several_parts_has_each_row_once(
    lake: tuple[Export, Callable[[], Path]], alice: Person, model: Models, db: Database
) -> None:
    """Rows with the same time are in exactly one part, and the manifest counts them."""
    export, files = lake
    turn = _turn(alice, model("echo"), db, 5, "many?")
    db.execute(
        "insert into public.chat_logs (turn_id, endpoint, status, created_at, cost_usd) "
        "select gen_random_uuid(), 'chat', 'completed', l.created_at + (n / 900) * interval '1 second', 0.000000001 "
        "from public.chat_logs as l cross join generate_series(1, 21000) as n where l.turn_id = %s",
        (turn,),
    )
    export()
    folder = files() / "ledger" / f"day={_ago(5)}"
    assert len(list(folder.glob("part-*.parquet"))) == 2
    manifest = json.loads((folder / "_manifest.json").read_text())
    found = _query(files(), f"select count(*), count(distinct id) from ledger where day = '{_ago(5)}'")
    assert found == [(manifest["rows"], manifest["rows"])]
    assert manifest["rows"] >= 21001
    db.execute("delete from public.chat_logs where cost_usd = 0.000000001")


def test_the_files_have_every_column_of_the_log(db: Database) -> None:
    """The columns are those of chat_logs, in the same order."""
    rows = db.execute(
        "select column_name from information_schema.columns where table_schema = 'public' and table_name = 'chat_logs' "
        "order by ordinal_position"
    ).fetchall()
    assert [row["column_name"] for row in rows] == list(COLUMNS)
