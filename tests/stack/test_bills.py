"""Providers' bills beside the ledger: the step that reads them, the import of a CSV, and the drift."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.providers import Upstream
from tests.fakes.providers.bills import ADMIN_KEYS, Billed
from tests.providers import variables
from tests.stack.conftest import Models, running_function
from tests.stack.people import Person, Stack, new_admin, service
from tests.stack.turns import Database, begin, finish, used

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)


@pytest.fixture(scope="module")
def admin(stack: Stack) -> Person:
    """An admin of this module's own."""
    return new_admin(stack)


@pytest.fixture
def no_bills(db: Database) -> Iterator[None]:
    """Deletes all bills after the test."""
    yield
    db.execute("delete from public.provider_bills")
    db.execute("delete from private.bill_reads")


def _spend(person: Person, db: Database, model: str, turns: int = 1) -> None:
    """Turns of yesterday: each 1000 tokens in and 500 out, for 0.002 US dollars."""
    for _ in range(turns):
        turn = begin(person, model)
        finish(person, turn, usage=used(1000, 500))
        db.execute(
            "update public.chat_logs set created_at = %s where turn_id = %s",
            [datetime.combine(YESTERDAY, datetime.min.time(), UTC) + timedelta(hours=23), turn["turn_id"]],
        )


def _drift(admin: Person, provider: str, **options: Any) -> dict[str, dict[str, Any]]:
    answer = admin.rest("POST", "rpc/bill_drift", json={"from": str(YESTERDAY), "to": str(TODAY)} | options)
    assert answer.status_code == 200, answer.text
    rows = json.loads(answer.text, parse_float=Decimal)
    return {row["model"]: row for row in rows if row["provider"] == provider}


def test_the_step_stores_bills_and_the_drift_is_what_differs(
    alice: Person,
    admin: Person,
    model: Models,
    db: Database,
    stack: Stack,
    upstream: Upstream,
    no_bills: None,  # noqa: ARG001 - it cleans up
    tmp_path: Path,
) -> None:
    """Versions of a model are one row, and what only one side has is a row; today is not compared."""
    right = model("gpt-right", provider="openai")
    wrong = model("gpt-wrong-2026-01-02", provider="openai")
    ours = model("gpt-ours", provider="openai")
    for name in (right, wrong, ours):
        _spend(alice, db, name, 2)
    begin_today = begin(alice, right)
    finish(alice, begin_today)
    upstream.bills.lines["openai"] = [
        Billed(YESTERDAY, "gpt-right-2025-08-06", 2000, 0, 1000, "0.004"),
        Billed(YESTERDAY, "gpt-wrong-2026-01-02", 2000, 100, 1000, "0.005"),
        Billed(YESTERDAY, "gpt-elsewhere", 70, 0, 7, "0.5"),
        Billed(TODAY, "gpt-right-2025-08-06", 1, 0, 1, "9"),
    ]
    upstream.bills.text["anthropic"] = (401, "{}")
    keys = {"OPENAI_ADMIN_KEY": ADMIN_KEYS["openai"], "ANTHROPIC_ADMIN_KEY": ADMIN_KEYS["anthropic"]}
    with running_function(stack, "refresh", variables(upstream) | keys, tmp_path) as (url, _):
        headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"}
        body: dict[str, Any] = {"steps": ["bills"]}
        first = httpx.post(url, json=body, headers=headers, timeout=60).json()["steps"]["bills"]
        again = httpx.post(url, json=body, headers=headers, timeout=60).json()["steps"]["bills"]
    upstream.bills.clear()
    assert (first["ok"], first["stored"], first["errors"]) == (
        False,
        {"openai": 3},
        {"anthropic": "provider_auth_failed"},
    )
    assert again["stored"] == {}  # it was read just now; the one that failed is asked again
    drift = _drift(admin, "openai")
    mine = {name: drift[name] for name in ("gpt-right", "gpt-wrong", "gpt-ours", "gpt-elsewhere")}
    assert {name: row["drift_usd"] for name, row in mine.items()} == {
        "gpt-right": 0,
        "gpt-wrong": Decimal("0.001"),
        "gpt-ours": Decimal("-0.004"),
        "gpt-elsewhere": Decimal("0.5"),
    }
    assert [mine["gpt-wrong"][name] for name in ("our_usd", "billed_usd", "drift_share")] == [
        Decimal("0.004"),
        Decimal("0.005"),
        Decimal("0.2"),
    ]
    assert [(row["our_tokens"], row["billed_tokens"]) for row in mine.values()] == [
        (3000, 3000),
        (3000, 3000),
        (3000, None),
        (0, 77),
    ]
    assert "gpt-ours" not in _drift(admin, "openai", least_usd=0.005)


def test_a_csv_replaces_the_days_it_has(admin: Person, db: Database, stack: Stack, no_bills: None) -> None:  # noqa: ARG001
    """Quotes, blanks, line ends and the order of columns do not matter; a day that it lacks stays."""
    rows = [
        '\ufeffcost_usd,"day",model,output_tokens\r',
        f'0.5,{YESTERDAY},"a, ""b""",7\r',
        f"0.25, {YESTERDAY} ,c,\r",
        f"-1,{TODAY},,",
    ]
    sent = {"provider": "acme", "csv": "\n".join(rows) + "\n"}
    assert admin.rest("POST", "rpc/import_bills", json=sent).json() == 3
    later = {"provider": "acme", "csv": f"day,model,cost_usd\n{YESTERDAY},c,0.125\n{YESTERDAY},c,0.125"}
    assert service(stack, "POST", "rpc/import_bills", json=later).json() == 1
    found = db.execute("select day, model, output_tokens, cost_usd, source from public.provider_bills order by day")
    assert [tuple(row.values()) for row in found] == [
        (YESTERDAY, "c", None, Decimal("0.25"), "csv"),
        (TODAY, "", None, -1, "csv"),
    ]


@pytest.mark.parametrize(
    ("csv", "reason"),
    [
        ("", "first line"),
        ("day,usd\n2026-01-01,1", "first line"),
        ("day,cost_usd,day\n2026-01-01,1,2026-01-01", "first line"),
        ("day,cost_usd", "1 to 10000 lines"),
        ("day,cost_usd\n2026-01-01,1\n2026-01-02", "Line 3"),
        ("day,cost_usd\n2026-02-30,1", "Line 2 has no valid day"),
        ("day,cost_usd\n2026-1-1,1", "Line 2 has no valid day"),
        ("day,cost_usd\n9999-01-01,1", "Line 2 is not of a day"),
        ("day,cost_usd\n2026-01-01,NaN", "Line 2 has no valid cost_usd"),
        ("day,cost_usd\n2026-01-01,1e9", "Line 2 has no valid cost_usd"),
        ('day,model,cost_usd\n2026-01-01,a"b,1', "Line 2 does not have 3 fields"),
        ("day,cost_usd,input_tokens\n2026-01-01,1,-5", "Line 2 has no valid input_tokens"),
        ("day,cost_usd\n" + "2026-01-01,1\n" * 10_001, "1 to 10000 lines"),
    ],
)
def test_a_wrong_line_is_422_and_nothing_is_stored(admin: Person, db: Database, csv: str, reason: str) -> None:
    """The message has the number of the line and what is wrong; no line is stored."""
    answer = admin.rest("POST", "rpc/import_bills", json={"provider": "acme", "csv": csv})
    assert answer.status_code == 422, answer.text
    assert reason in answer.json()["message"]
    assert json.loads(answer.json()["details"])["metadata"]["param"] == "csv"
    assert db.execute("select from public.provider_bills where provider = 'acme'").fetchall() == []


def test_any_text_is_a_bill_or_a_422(admin: Person, db: Database, no_bills: None) -> None:  # noqa: ARG001 - it cleans up
    """Random CSV never makes a fault of the server, and never a row without a day."""
    chance = random.Random(5)  # noqa: S311 - dice
    bits = ("day", "cost_usd", "model", ",", ",", "\n", "\n", '"', "2026-01-01", "1.5", " ", "x", "-")
    for _ in range(60):
        header = chance.choice(("", "day,cost_usd\n", "day,model,cost_usd\n"))
        csv = header + "".join(chance.choice(bits) for _ in range(chance.randrange(30)))
        answer = admin.rest("POST", "rpc/import_bills", json={"provider": "acme", "csv": csv})
        assert answer.status_code in {200, 422}, (csv, answer.text)
    assert db.execute("select from public.provider_bills where day <> '2026-01-01'").fetchall() == []


def test_only_admins_see_and_import_bills(alice: Person) -> None:
    """Other users get 403, and no rows of the table."""
    csv = {"provider": "acme", "csv": f"day,cost_usd\n{YESTERDAY},1"}
    assert alice.rest("POST", "rpc/import_bills", json=csv).status_code == 403
    assert alice.rest("POST", "rpc/bill_drift", json={}).status_code == 403
    assert alice.rest("POST", "rpc/store_bills", json={"bill": {}}).status_code == 403
    assert alice.rows("provider_bills") == []


@pytest.mark.parametrize(("first", "last"), [(TODAY, YESTERDAY), (TODAY - timedelta(days=1200), TODAY)])
def test_spans_turned_round_or_too_long_are_422(admin: Person, first: Any, last: Any) -> None:
    """The drift covers at most 1100 days."""
    answer = admin.rest("POST", "rpc/bill_drift", json={"from": str(first), "to": str(last)})
    assert answer.status_code == 422, answer.text


def test_a_day_that_has_not_ended_is_not_stored(stack: Stack) -> None:
    """The service stores whole days only, 31 at most."""
    for first, last in ((TODAY, TODAY + timedelta(days=1)), (TODAY, TODAY), (TODAY - timedelta(days=40), TODAY)):
        bill = {"provider": "acme", "from_day": str(first), "to_day": str(last), "rows": []}
        assert service(stack, "POST", "rpc/store_bills", json={"bill": bill}).status_code == 422
