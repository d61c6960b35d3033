"""usage_overview: each part of a span is what usage_report and the log add up to."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.stack.people import Person
from tests.stack.reports import acting_as, report
from tests.stack.turns import Database

_FROM, _TO = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 11, tzinfo=UTC)
_PARTS = {"days": None, "models": "model", "agents": "agent", "endpoints": "endpoint", "people": "person"}
_SUMS = ("requests", "errors", "input_tokens", "output_tokens", "cost_usd", "unpriced_requests")


def _overview(db: Database, filters: dict[str, Any], reader: Person | None = None) -> dict[str, Any]:
    with acting_as(db, reader):
        query = "select public.usage_overview(%s, %s, %s, 1) as found"
        row = db.execute(query, [_FROM.date(), _TO.date(), json.dumps(filters)]).fetchone()
    assert row is not None
    found: dict[str, Any] = row["found"]
    return found


@pytest.fixture
def provider(alice: Person, bob: Person, db: Database) -> str:
    """The unique provider of turns of two users on some days; the third day has none."""
    name = uuid.uuid4().hex
    for number in range(30):
        day = -3 if number % 10 == 9 else number % 7 if number % 7 != 2 else 9
        db.execute(
            """insert into public.chat_logs (turn_id, user_id, endpoint, status, error_code, provider, model_identifier,
                 agent_type, input_tokens, output_tokens, cost_usd, duration_ms, ttft_ms, usage_source, created_at)
               values (gen_random_uuid(), %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'provider', %s)""",
            [
                (alice, bob)[number % 2].id,
                ("chat", "chat.completions")[number % 3 == 0],
                "failed" if number == 4 else "completed",
                "provider_error" if number == 4 else None,
                name,
                f"{name}:{number % 4}",
                ("general", None)[number % 5 == 0],
                100 + number,
                number,
                None if number == 6 else 0.001 * number,
                1000 + number,
                None if number == 8 else 100,
                _FROM + timedelta(days=day, hours=number % 24),
            ],
        )
    return name


def test_every_part_is_what_usage_report_gives(provider: str, db: Database) -> None:
    """Days, models, agents, endpoints and users equal the reports, and the total and the one before, too."""
    found = _overview(db, {"provider": provider})
    filters = {"provider": provider}
    for part, group in _PARTS.items():
        for metric in _SUMS:
            options: dict[str, Any] = {"from": _FROM, "to": _TO, "filters": filters, "group_by": group, "top": 1}
            rows = report(db, metric, bucket=None if group else "day", **options)
            named = {row["group_value"] if group else str(row["bucket_start"].date()): row["value"] for row in rows}
            if group in {None, "person"}:
                shown = {row["key"]: row[metric] for row in found[part] if row[metric]}
                assert shown == pytest.approx({key: float(value) for key, value in named.items() if value}), part
            assert sum(row[metric] for row in found[part]) == pytest.approx(found["total"][metric]), (part, metric)
            assert found["total"][metric] == pytest.approx(float(sum(named.values())))
    assert [len(found[part]) for part in ("models", "people")] == [2, 2]  # the first one and the row other
    assert (found["total"]["people"], found["before"]["people"]) == (2, 1)
    assert found["before"]["requests"] == 3
    assert str(_FROM.date() + timedelta(days=2)) not in {row["key"] for row in found["days"]}


def test_users_see_their_own_sums_and_first_day(provider: str, alice: Person, bob: Person, db: Database) -> None:
    """Another user's turns count in no part, and a filter for them is refused."""
    own = _overview(db, {"provider": provider}, alice)
    whole = _overview(db, {"provider": provider, "person": alice.id})
    assert own == whole
    assert own["first_day"] == min(row["key"] for row in own["days"])
    assert {row["key"] for row in own["people"]} == {alice.id}
    answer = alice.rest("POST", "rpc/usage_overview", json={"filters": {"person": bob.id}})
    assert answer.status_code == 403


def test_without_a_turn_every_sum_is_zero(alice: Person) -> None:
    """A new user has no first day, and zeros instead of missing sums."""
    found = alice.rest("POST", "rpc/usage_overview", json={}).json()
    assert (found["days"], found["people"], found["first_day"]) == ([], [], None)
    assert found["total"] == found["before"]
    assert found["total"]["requests"] == found["total"]["people"] == 0
    assert found["total"]["mean_ms"] is None


@pytest.mark.parametrize(
    "options",
    [{"from": "2026-03-02", "to": "2026-03-02"}, {"from": "2020-01-01"}, {"to": "infinity"}, {"top": 0}],
)
def test_spans_and_sizes_have_limits(alice: Person, options: dict[str, Any]) -> None:
    """An empty span, one of years, an endless one and no rows at all are 422."""
    assert alice.rest("POST", "rpc/usage_overview", json=options).status_code == 422
