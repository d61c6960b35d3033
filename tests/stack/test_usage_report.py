"""usage_report: each breakdown in each zone is what the log adds up to, to the last digit."""

from __future__ import annotations

import csv
import io
import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from tests.stack.books import set_price
from tests.stack.histories import PRICING, History
from tests.stack.people import Person, Stack, sign_up
from tests.stack.reports import Row, as_sums, report, sums
from tests.stack.roll_up import counts_of, percentile_bounds
from tests.stack.turns import Database

ZONES = ("UTC", "Asia/Kolkata", "America/Los_Angeles", "Australia/Lord_Howe")
FROM, TO = datetime(2026, 9, 30, 7, 20, tzinfo=UTC), datetime(2026, 11, 3, 5, 50, tzinfo=UTC)
_SPAN: dict[str, Any] = {"from": FROM, "to": TO}
# Lord Howe moves its clocks by half an hour on 3 October 15:30 UTC, Los Angeles by an hour on 1 November 9:00 UTC.
_MOMENTS = tuple(
    datetime.fromisoformat(f"{each}+00:00")
    for each in ("2026-10-03T15:30", "2026-11-01T09:00", "2026-09-30T18:30", "2026-10-31T18:30", "2026-10-31T13:00")
)
_GROUPS = {
    None: lambda _: None,
    "provider": lambda row: row["provider"] or "",
    "agent": lambda row: row["agent_type"] or "",
    "endpoint": lambda row: row["endpoint"],
    "person": lambda row: row["user_id"] and str(row["user_id"]),
}
_METRICS = ("requests", "cost_usd", "input_tokens", "errors", "cached_answers", "saved_usd")


@dataclass
class _Month:
    """A random history, spread over changes of clocks and ends of months; its log rows before and after retention."""

    model: str
    people: list[Person]
    rows: list[Row]

    @property
    def filters(self) -> dict[str, Any]:
        return {"model": self.model}


@pytest.fixture(scope="module")
def month(stack: Stack, db: Database) -> Iterator[_Month]:
    """Made once for the tests of this module, which only read it."""
    chance, name = random.Random(7), f"openai:{uuid.uuid4().hex}"  # noqa: S311 - dice
    db.execute(
        """insert into public.llm_models (model_key, model_name, provider, upstream_id, capabilities, pricing)
           values (%s, 'x', 'openai', %s, '{"context_window": 8192}', %s)""",
        [name, name.partition(":")[2], PRICING],
    )
    history = History(stack, db, name, [sign_up(stack) for _ in range(6)], chance)
    for number in range(110):
        history.step(number)
    for row in db.execute("select id from public.chat_logs where model_identifier = %s", [name]).fetchall():
        moment = chance.choice((*_MOMENTS, FROM, TO))
        at = moment + timedelta(
            minutes=chance.choice((-1, 0, 1, chance.randrange(-3000, 3000))), seconds=chance.random()
        )
        db.execute("update public.chat_logs set created_at = %s where id = %s", [at, row["id"]])
    rows = db.execute("select * from public.chat_logs where model_identifier = %s", [name]).fetchall()
    assert len(rows) > 40
    yield _Month(name, history.people, rows)
    db.execute("delete from public.llm_models where model_key = %s", [name])


def _in_span(rows: list[Row]) -> list[Row]:
    return [row for row in rows if FROM <= row["created_at"] < TO]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("size", [None, "hour", "day", "week", "month"])
def test_every_breakdown_is_what_the_log_adds_up_to(month: _Month, db: Database, zone: str, size: str | None) -> None:
    """Each group's rows equal the log's sums, in each bucket of each zone."""
    options: dict[str, Any] = {"bucket": size, "from": FROM, "to": TO, "time_zone": zone, "filters": month.filters}
    for group, key in _GROUPS.items():
        for metric in _METRICS:
            found = as_sums(report(db, metric, group_by=group, **options))
            assert found == sums(_in_span(month.rows), metric, key, size, zone), (group, metric)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("group", ["status", "arm", "kind"])
def test_parts_add_up_to_the_whole(month: _Month, db: Database, zone: str, group: str) -> None:
    """Rows by status, arm and kind of token sum to the report without a group, in each bucket."""
    options: dict[str, Any] = {"bucket": "day", "from": FROM, "to": TO, "time_zone": zone, "filters": month.filters}
    whole = {key[0]: value for key, value in as_sums(report(db, "cost_usd", **options)).items()}
    parts: dict[Any, Decimal] = {}
    for (start, _), value in as_sums(report(db, "cost_usd", group_by=group, **options)).items():
        parts[start] = parts.get(start, Decimal(0)) + value
    assert parts == whole


def test_users_beyond_the_first_are_one_row(month: _Month, db: Database) -> None:
    """The row `other` has what the first users leave."""
    options: dict[str, Any] = {"from": FROM, "to": TO, "filters": month.filters, "group_by": "person"}
    all_people = report(db, "cost_usd", **options)
    first = report(db, "cost_usd", top=1, **options)
    assert len(all_people) > 2
    assert {row["group_value"] for row in first} == {
        max(all_people, key=lambda row: row["value"])["group_value"],
        "other",
    }
    assert sum(row["value"] for row in first) == sum(row["value"] for row in all_people)


@pytest.mark.parametrize(("metric", "column"), [("duration", "duration_ms"), ("ttft", "ttft_ms")])
@pytest.mark.parametrize("share", [50, 90, 95, 99])
def test_percentiles_lie_within_one_element(month: _Month, db: Database, metric: str, column: str, share: int) -> None:
    """The true value lies between low and high, and so does the value that is given."""
    values = [row[column] for row in _in_span(month.rows) if row[column] is not None]
    (row,) = report(db, f"{metric}_p{share}", **_SPAN, filters=month.filters)
    low, high = percentile_bounds(values, share / 100)
    assert (float(row["low"]), float(row["high"])) == pytest.approx((low, high), abs=0.06)
    assert row["low"] <= row["value"] <= row["high"]
    assert row["n"] == len(values)


def test_a_slow_turn_among_thousands_of_quick_ones_is_no_overflow(alice: Person, db: Database) -> None:
    """The value of an element is computed only where the share lies."""
    provider = uuid.uuid4().hex
    db.execute(
        """insert into public.chat_logs
             (turn_id, user_id, endpoint, status, provider, duration_ms, usage_source, created_at)
           select gen_random_uuid(), %s, 'chat', 'completed', %s, case when n = 1 then 90000 else 100 end, 'provider',
             %s from generate_series(1, 8000) as n""",
        [alice.id, provider, FROM],
    )
    (row,) = report(db, "duration_p50", **_SPAN, filters={"provider": provider})
    assert row["low"] <= 100 <= row["high"]
    db.execute("delete from public.chat_logs where provider = %s", [provider])


def test_means_and_shares_have_their_formula_and_sample(month: _Month, db: Database) -> None:
    """Each value is the quotient of the log's sums; without a sample it is null."""
    counts = [counts_of(row) for row in _in_span(month.rows)]

    def total(name: str) -> Decimal:
        return Decimal(sum(each.get(name, 0) for each in counts))

    priced = total("requests") - total("unpriced_requests")
    formulas = {
        "satisfaction": ("rating_sum", total("ratings")),
        "classification_accuracy": ("classified_right", total("classified")),
        "escalation_success": ("good_handoffs", total("rated_handoffs")),
        "error_rate": ("errors", total("requests")),
        "mean_ttft_ms": ("ttft_ms_sum", total("ttft_count")),
        "cost_per_turn": ("cost_usd", priced),
        "cost_efficiency": ("cost_usd", total("good_ratings")),
    }
    for metric, (name, n) in formulas.items():
        (row,) = report(db, metric, **_SPAN, filters=month.filters)
        assert (row["value"], row["n"]) == ((total(name) / n).quantize(Decimal("1e-9"), ROUND_HALF_UP), n), metric
        if row["low"] is not None:
            assert row["low"] <= row["value"] <= row["high"], metric
    assert report(db, "satisfaction", filters={"model": "none"}) == []


def test_a_user_sees_the_same_numbers_of_their_own_rows(month: _Month, db: Database) -> None:
    """Without a filter, a user's report has that user's rows only."""
    person = month.people[0]
    mine = [row for row in _in_span(month.rows) if str(row["user_id"]) == person.id]
    found = as_sums(report(db, "cost_usd", person, bucket="day", **_SPAN, time_zone=ZONES[1]))
    assert found == sums(mine, "cost_usd", lambda _: None, "day", ZONES[1])


def test_tools_are_counted_by_name(month: _Month, db: Database) -> None:
    """Calls by tool add up to all calls."""
    options: dict[str, Any] = {"from": FROM, "to": TO, "filters": month.filters}
    (whole,) = report(db, "tool_calls", **options)
    by_name = report(db, "tool_calls", group_by="tool", **options)
    assert {row["group_value"] for row in by_name} == {"search", "analyze_data"}
    calls = sum(len(row["tools_used"]) for row in _in_span(month.rows))
    assert sum(row["value"] for row in by_name) == whole["value"] == calls


def test_reports_stay_when_retention_deletes_the_log(month: _Month, db: Database) -> None:
    """Whole hours keep their sums; a divided hour counts for the bucket in which it begins; totals stay everywhere."""
    options: dict[str, Any] = {"from": FROM.replace(minute=0), "to": TO.replace(minute=0), "filters": month.filters}
    before = {
        zone: [
            report(db, "cost_usd", group_by=group, bucket="day", time_zone=zone, **options) for group in (None, "arm")
        ]
        for zone in ZONES
    }
    with db.transaction(force_rollback=True):
        db.execute("delete from public.chat_logs where model_identifier = %s and id %% 2 = 0", [month.model])
        for zone in ZONES:
            plain, by_arm = (
                report(db, "cost_usd", group_by=group, bucket="day", time_zone=zone, **options)
                for group in (None, "arm")
            )
            assert sum(row["value"] for row in plain) == sum(row["value"] for row in before[zone][0])
            assert sum(row["value"] for row in by_arm) == sum(row["value"] for row in plain)
            assert {"purged"} <= {row["group_value"] for row in by_arm}
            if zone in {"UTC", "America/Los_Angeles"}:
                assert plain == before[zone][0]


@pytest.mark.parametrize("zone", ZONES)
def test_corrected_costs_are_in_every_report(month: _Month, db: Database, zone: str) -> None:
    """After another price, reports by hour, day and month, the CSV and the log have the same cost to the last digit."""
    options: dict[str, Any] = {"from": FROM, "to": TO, "time_zone": zone, "filters": month.filters}
    with db.transaction(force_rollback=True):
        set_price(db, month.model, '{"input": 0.37, "output": 1.91, "cached_input": 0.07}')
        (changed,) = db.execute(
            "select sum(delta_usd) as usd, sum(turns) as n from public.reprice(%s, %s, false, array[%s])",
            [FROM, TO, month.model],
        ).fetchall()
        assert changed["n"] > 20
        rows = db.execute("select * from public.chat_logs where model_identifier = %s", [month.model]).fetchall()
        before, after = (sum(row["cost_usd"] or 0 for row in _in_span(each)) for each in (month.rows, rows))
        assert after - before == changed["usd"]
        for size in (None, "hour", "day", "month"):
            for group in ("agent", "person", None):
                found = as_sums(report(db, "cost_usd", group_by=group, bucket=size, **options))
                assert found == sums(_in_span(rows), "cost_usd", _GROUPS[group], size, zone), (size, group)
        kinds = report(db, "cost_usd", group_by="kind", **options)
        assert sum(row["value"] for row in kinds) == after
        assert _as_csv(db, zone, month.filters) == after
    assert report(db, "cost_usd", **options)[0]["value"] == before


def _as_csv(db: Database, zone: str, filters: dict[str, Any]) -> Decimal:
    """The sum of the costs in the report by day and agent, written as CSV and read again."""
    query = f"""copy (select * from public.usage_report('cost_usd', 'agent', 'day', '{FROM.isoformat()}',
      '{TO.isoformat()}', '{zone}', '{json.dumps(filters)}')) to stdout with (format csv, header)"""
    with db.cursor().copy(query) as copied:
        text = b"".join(bytes(each) for each in copied).decode()
    return sum((Decimal(row["value"]) for row in csv.DictReader(io.StringIO(text))), Decimal(0))


_WRONG: dict[str, Any] = {
    "metric": "no_such_metric",
    "group_by": "colour",
    "bucket": "fortnight",
    "time_zone": "Mars/Olympus",
    "top": 0,
    "from": datetime(2030, 1, 1, tzinfo=UTC),
    "filters": {"colour": "red"},
}


@pytest.mark.parametrize("name", _WRONG)
def test_wrong_parameters_are_422_and_named(alice: Person, name: str) -> None:
    """Unknown metrics, groups, buckets, zones and filters, and a span turned round, are refused at once."""
    value = _WRONG[name].isoformat() if name == "from" else _WRONG[name]
    answer = alice.rest("POST", "rpc/usage_report", json={"metric": "requests"} | {name: value})
    assert answer.status_code == 422, answer.text
    assert f'"param": "{name}"' in answer.json()["details"]


@pytest.mark.parametrize(
    "options",
    [
        {"from": "1926-01-01", "to": "2026-01-01"},
        {"from": "2026-01-01", "to": "2026-06-01", "bucket": "hour"},
        {"from": "-infinity"},
        {"to": "infinity"},
        {"filters": {"person": "nobody"}},
        {"filters": {"model": 7}},
        {"filters": []},
        {"group_by": "kind"},
        {"group_by": "tool"},
    ],
)
def test_what_no_report_can_answer_is_422(alice: Person, options: dict[str, Any]) -> None:
    """Centuries, endless spans, ids that are none, and groups that a metric does not have are refused."""
    assert alice.rest("POST", "rpc/usage_report", json={"metric": "requests"} | options).status_code == 422


def test_other_users_numbers_are_forbidden(alice: Person, bob: Person) -> None:
    """A filter for another user, and groups by person, are 403 for users who are no admins."""
    for options in ({"filters": {"person": bob.id}}, {"group_by": "person"}):
        assert alice.rest("POST", "rpc/usage_report", json={"metric": "requests"} | options).status_code == 403
    own = {"metric": "requests", "filters": {"person": [alice.id]}}
    assert alice.rest("POST", "rpc/usage_report", json=own).json() == []


def test_a_quote_in_a_filter_is_only_a_text(alice: Person, db: Database) -> None:
    """Values of filters become no SQL."""
    odd = "x'; drop table public.chat_logs; --{user_id}{provider}$1"
    for key in ("model", "provider", "agent", "endpoint"):
        assert alice.rest("POST", "rpc/usage_report", json={"metric": "requests", "filters": {key: odd}}).json() == []
    assert db.execute("select to_regclass('public.chat_logs') as name").fetchone() == {"name": "chat_logs"}


def test_the_owner_of_the_database_sees_all(month: _Month, db: Database) -> None:
    """The SQL editor has no claims, and no row-level security holds for it."""
    query = 'select value from public.usage_report(\'requests\', "from" => %s, "to" => %s, filters => %s::jsonb)'
    found = db.execute(query, [FROM, TO, f'{{"model": "{month.model}"}}']).fetchone()
    assert found == {"value": len(_in_span(month.rows))}
