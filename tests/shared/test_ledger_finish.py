"""The last round trip of a turn, and the spool behind it, against a scripted database."""

from __future__ import annotations

import asyncio
import json
import math
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from shared import ledger, spool
from shared.ledger import as_record
from shared.receipts import receipt_json
from tests.fakes.supabase import Project
from tests.shared.ledger_values import ENTRY, FINISH, PERSON, TURN


@pytest.mark.anyio
@pytest.mark.parametrize(("outcome", "logged"), [("settled", True), ("duplicate", True), ("stale", False)])
async def test_a_booked_turn_has_a_receipt(project: Project, outcome: str, logged: bool) -> None:
    """chat_finish is called once with the service key; the receipt has the cost and `logged`."""
    project.answers[FINISH] = (200, {"outcome": outcome, "cost_usd": 0.002, "message_id": "message-1"})
    receipt = await ledger.finish(ENTRY)
    assert (receipt.cost_usd, receipt.logged, receipt.message_id) == (0.002, logged, "message-1")
    assert project.asked[0].headers["apikey"] == "sb_secret_x"
    assert project.asked_of("chat_finish") == [{"entry": as_record(ENTRY)}]


@pytest.mark.anyio
async def test_a_turn_without_a_row_is_logged_and_its_record_kept(
    project: Project, environ: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The call is not repeated, and the receipt does not claim that the turn will be booked."""
    environ(SPOOL_URL=tmp_path.as_uri())
    project.answers[FINISH] = (200, {"outcome": "unknown"})
    assert (await ledger.finish(ENTRY)).logged is False
    assert len(project.asked) == 1
    assert "unbooked_turn" in capsys.readouterr().out
    (kept,) = tmp_path.iterdir()
    assert json.loads(kept.read_text())["entry"]["turn_id"] == TURN.turn_id


@pytest.mark.anyio
async def test_a_database_that_fails_at_the_end_costs_the_row_but_not_the_answer(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two tries, and without a spool one redacted line from which the row can be rebuilt, after a short one that no
    host cuts; nothing is raised.
    """
    project.answers[FINISH] = (503, "down")
    receipt = await ledger.finish(ENTRY)
    assert (receipt.cost_usd, receipt.logged) == (None, False)
    assert len(project.asked) == 2
    written = capsys.readouterr().out
    *_, alarm, last = written.splitlines()
    assert (json.loads(alarm)["event"], len(alarm) < 500) == ("unbooked_turn", True)
    line = json.loads(last)
    assert line["event"] == "unbooked_record"
    assert line["record"]["entry"] == as_record(ENTRY) | {"content": "Write to [email]"}
    assert line["record"]["version"] == 1
    assert "ada@example.com" not in written


@pytest.mark.anyio
@pytest.mark.parametrize(("insight", "status"), [({"output": math.nan}, 200), ({"output": {}}, 400)])
async def test_an_insight_that_cannot_be_sent_or_taken_does_not_cost_the_row(
    project: Project, insight: dict[str, Any], status: int
) -> None:
    """The second try books the turn without it."""
    project.answers[FINISH] = (200, {"outcome": "settled", "cost_usd": 0.002})
    project.answers[FINISH.replace("chat_finish", "finish_insight")] = (status, {"code": "22P02", "message": "no"})
    receipt = await ledger.finish(replace(ENTRY, insight=insight))
    assert (receipt.cost_usd, receipt.logged, receipt.insight_id) == (0.002, True, None)
    assert project.asked_of("chat_finish") == [{"entry": as_record(ENTRY)}]


@pytest.mark.anyio
async def test_an_insight_that_was_not_stored_is_logged(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """One line names the database's error; the turn is booked."""
    answer = {"outcome": "settled", "cost_usd": 0.002, "insight_id": None, "insight_error": "55P03"}
    project.answers[FINISH.replace("chat_finish", "finish_insight")] = (200, answer)
    receipt = await ledger.finish(replace(ENTRY, insight={"output": {}}))
    assert (receipt.logged, receipt.insight_id) == (True, None)
    (line,) = capsys.readouterr().out.splitlines()
    assert (json.loads(line)["event"], json.loads(line)["error"]) == ("insight_not_stored", "55P03")


@pytest.mark.anyio
async def test_a_turn_that_the_database_cannot_take_waits_in_the_spool(
    project: Project, environ: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After two tries the redacted record is in the spool; the receipt is `spooled`, without a log line."""
    environ(SPOOL_URL=tmp_path.as_uri(), HASH_PEPPER="pepper")
    project.answers[FINISH] = (503, "down")
    entry = replace(ENTRY, turn=replace(TURN, user_id=PERSON.id))
    receipt = await ledger.finish(entry)
    assert (receipt.logged, receipt.cost_usd, receipt_json(receipt)["logged"]) == ("spooled", None, "spooled")
    assert len(project.asked) == 2
    record = json.loads((tmp_path / "turn-1.worker-1.json").read_text())
    assert record["entry"] == as_record(entry) | {"content": "Write to [email]"}
    assert (record["user_id"], record["user_id_hash"]) == (PERSON.id, as_record(entry)["user_id_hash"])
    assert "unbooked_turn" not in capsys.readouterr().out


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [{"outcome": "settled"}, {"outcome": "stale"}], ids=str)
async def test_what_the_database_answered_is_not_spooled(
    project: Project, environ: Callable[..., None], tmp_path: Path, answer: dict[str, str]
) -> None:
    """A booked turn and one of another worker are not spooled."""
    environ(SPOOL_URL=tmp_path.as_uri())
    project.answers[FINISH] = (200, answer)
    await ledger.finish(ENTRY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.anyio
async def test_a_spool_that_fails_too_leaves_the_line(
    project: Project, environ: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only then is the record in our log, and the receipt does not claim more."""
    (tmp_path / "taken").write_text("a file where the folder should be")
    environ(SPOOL_URL=(tmp_path / "taken").as_uri())
    project.answers[FINISH] = (503, "down")
    assert (await ledger.finish(ENTRY)).logged is False
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert events == ["finish_failed", "finish_failed", "spool_failed", "unbooked_turn", "unbooked_record"]


@pytest.mark.anyio
@pytest.mark.usefixtures("sessions")
async def test_a_database_that_hangs_costs_a_bounded_time_and_not_the_record(
    environ: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both tries and the spool fit into the time before the platform's limit."""
    assert ledger._FINISH_TRIES * ledger._TRY_SECONDS + spool.KEEP_SECONDS <= 9  # noqa: SLF001 - of the gateway's ten
    monkeypatch.setattr(ledger, "_TRY_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ(SUPABASE_URL=f"http://127.0.0.1:{silent.getsockname()[1]}", SUPABASE_SERVICE_KEY="sb_secret_x")
        environ(SPOOL_URL=tmp_path.as_uri())
        async with asyncio.timeout(30):  # the database never answers
            assert (await ledger.finish(ENTRY)).logged == "spooled"


@pytest.mark.anyio
async def test_a_cancelled_turn_is_spooled_too(project: Project, environ: Callable[..., None], tmp_path: Path) -> None:
    """A cancelled turn whose database is down still reaches the spool before the cancellation goes on."""
    environ(SPOOL_URL=tmp_path.as_uri())
    project.answers[FINISH] = (503, "down")
    with anyio.CancelScope() as scope:
        scope.cancel()
        receipt = await ledger.finish(ENTRY)
    assert receipt.logged == "spooled"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.anyio
async def test_a_user_who_hangs_up_does_not_take_the_row_along(project: Project) -> None:
    """A cancelled turn is booked to its end before the cancellation goes on."""
    project.answers[FINISH] = (200, {"outcome": "settled", "cost_usd": 0.002})
    with anyio.CancelScope() as scope:
        scope.cancel()
        receipt = await ledger.finish(ENTRY)
    assert receipt.logged
    assert len(project.asked) == 1
