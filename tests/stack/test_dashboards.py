"""The dashboard, the questions by name and a user's page equal what DuckDB finds in a dump of the log."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, new_admin, sign_up
from tests.stack.reports import acting_as, report
from tests.stack.turns import Database, begin, finish

AT = datetime(2026, 10, 29, 17, 45, tzinfo=UTC)
ZONES = ("UTC", "Asia/Kolkata", "America/Los_Angeles", "Australia/Lord_Howe")
_INSERT = """insert into public.chat_logs (turn_id, user_id, endpoint, status, model_identifier, provider, agent_type,
    input_tokens, output_tokens, cost_usd, duration_ms, rating, escalation_suggested, domain_classification,
    asked_agent, usage_source, context_size_tokens, history_shown, history_left_out, tools_used, created_at,
    saved_usd)
  values (%s, %s, 'chat', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'provider', %s, %s, %s, %s, %s, %s)"""


def _log_row(chance: random.Random, person: Person) -> list[Any]:
    agent = chance.choice(("general", "technical", "research"))
    tools = [{"name": chance.choice(("search", "sql")), "ok": chance.random() < 0.8, "ms": 5}] * chance.randrange(3)
    return [
        str(uuid.uuid4()),
        person.id,
        chance.choice(("completed", "completed", "cancelled", "failed")),
        chance.choice(("openai:a", "google:b")),
        chance.choice(("openai", "google")),
        agent,
        chance.randrange(1, 5000),
        chance.randrange(900),
        chance.choice((None, round(chance.random() / 100, 9))),
        chance.randrange(20, 30_000),
        chance.choice((None, None, 1, 3, 4, 5, 5)),
        chance.random() < 0.2,
        chance.choice((None, agent, "general")),
        chance.choice((None, "general")),
        chance.randrange(1, 9000),
        chance.randrange(1, 20),
        chance.choice((0, 0, 5)),
        json.dumps(tools),
        AT - timedelta(minutes=chance.randrange(1, 60 * 24 * 40)) + timedelta(hours=3),
        chance.choice((None, None, None, 0, round(chance.random() / 50, 9))),
    ]


@pytest.fixture(scope="module")
def person(stack: Stack, db: Database) -> Person:
    """A user with 600 turns of forty days."""
    chance, user = random.Random(3), sign_up(stack)  # noqa: S311 - dice
    with db.cursor() as cursor:
        cursor.executemany(_INSERT, [_log_row(chance, user) for _ in range(600)])
    return user


@pytest.fixture(scope="module")
def dump(person: Person, db: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The user's rows of the log as CSV, read by DuckDB."""
    path: Path = tmp_path_factory.mktemp("dump") / "chat_logs.csv"
    copy = f"copy (select * from public.chat_logs where user_id = '{person.id}') to stdout with (format csv, header)"
    with path.open("wb") as file, db.cursor().copy(copy) as rows:
        for row in rows:
            file.write(row)
    with duckdb.connect() as duck:
        duck.execute("set timezone = 'UTC'")
        duck.execute(
            """create table logs as select * replace (cost_usd::decimal(18, 9) as cost_usd,
                 created_at::timestamptz as created_at, rating::integer as rating,
                 saved_usd::decimal(18, 9) as saved_usd)
               from read_csv(?, header = true, all_varchar = true)""",
            [str(path)],
        )
        yield duck


def _dashboard(db: Database, person: Person, period: str, zone: str) -> dict[str, Any]:
    with acting_as(db, person):
        row = db.execute("select private.dashboard_at(%s, %s, %s) as page", [period, AT, zone]).fetchone()
    assert row is not None
    found: dict[str, Any] = row["page"]["llm_performance_dashboard"]
    return found


def _one(duck: duckdb.DuckDBPyConnection, query: str, *values: Any) -> tuple[Any, ...]:
    row = duck.execute(query, list(values)).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("period", ["hour", "day", "week", "month"])
def test_the_current_period_is_what_duckdb_counts(
    person: Person, dump: duckdb.DuckDBPyConnection, db: Database, period: str, zone: str
) -> None:
    """Every key of the current period, and of each agent, is the same to the last digit."""
    page = _dashboard(db, person, period, zone)[f"current_{period}"]
    local = "(created_at at time zone ?)"
    span = f"date_trunc('{period}', {local}) = date_trunc('{period}', ?::timestamptz at time zone ?) and created_at < ?"
    values = (zone, AT, zone, AT)
    turns, tokens, cost, seconds, hits, saved = _one(
        dump,
        f"""select count(*), sum(input_tokens::bigint + output_tokens::bigint), sum(cost_usd),
              avg(duration_ms::bigint) / 1000, count(saved_usd), sum(saved_usd) from logs where {span}""",
        *values,
    )
    assert (page["cached_answers"], f"{page['saved_usd']:.9f}") == (hits, f"{saved or 0:.9f}")
    assert (page["total_interactions"], page["total_tokens"]) == (turns, tokens or 0)
    assert f"{page['total_cost']:.9f}" == f"{cost or 0:.9f}"
    assert page["avg_response_time"] == (f"{seconds:.1f}s" if turns else None)
    (median,) = _one(
        dump, f"select median(output_tokens::double / input_tokens::double) from logs where {span}", *values
    )
    assert page["context_efficiency"] == (pytest.approx(median, abs=0.0051) if turns else None)
    agents = dump.execute(
        f"select agent_type, count(*), avg(rating), count(rating), sum(cost_usd) from logs where {span} group by 1",
        values,
    ).fetchall()
    found = {
        name: (agent["count"], agent["satisfaction"], agent["ratings"], f"{agent['cost']:.9f}")
        for name, agent in page["agent_distribution"].items()
    }
    assert found == {
        name: (n, None if mean is None else pytest.approx(mean, abs=0.0051), ratings, f"{usd or 0:.9f}")
        for name, n, mean, ratings, usd in agents
    }


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("share", [50, 95])
def test_percentiles_are_within_an_element_of_duckdbs(
    person: Person, dump: duckdb.DuckDBPyConnection, db: Database, share: int, zone: str
) -> None:
    """The percentile of each day of the month, as DuckDB finds it in the dump, lies between low and high."""
    options = {"bucket": "day", "from": AT - timedelta(days=31), "to": AT, "time_zone": zone}
    rows = report(db, f"duration_p{share}", person, **options)
    wanted = dump.execute(
        f"""select epoch(date_trunc('day', created_at at time zone ?) at time zone ?),
              quantile_disc(duration_ms::integer, {share / 100}), count(*)
            from logs where created_at >= ? and created_at < ? group by 1 order by 1""",
        [zone, zone, options["from"], options["to"]],
    ).fetchall()
    assert [(row["bucket_start"].timestamp(), row["n"]) for row in rows] == [(day, n) for day, _, n in wanted]
    assert len(rows) > 28
    for row, (_, value, _) in zip(rows, wanted, strict=True):
        assert float(row["low"]) - 0.06 <= value <= float(row["high"]) + 0.06


@pytest.mark.parametrize("zone", ZONES)
def test_the_trends_are_what_duckdb_finds(
    person: Person, dump: duckdb.DuckDBPyConnection, db: Database, zone: str
) -> None:
    """Today against yesterday, this week against the last, and the shares of seven days."""
    trends = _dashboard(db, person, "hour", zone)["trending_metrics"]
    day = "(created_at at time zone ?)::date"
    today, yesterday = (
        _one(dump, f"select avg(rating) from logs where {day} = ?::date and created_at < ?", zone, each, AT)[0]
        for each in _days(dump, zone)
    )
    assert trends["user_satisfaction_trend"] == f"{today - yesterday:+.1f} vs yesterday"
    week = "created_at >= ?::timestamptz - to_days(7) and created_at < ?"
    good = f"select count(*) filter (where rating > 3) / sum(cost_usd)::double from logs where {week}"
    (now,), (before,) = (_one(dump, good, end, end) for end in (AT, AT - timedelta(days=7)))
    assert trends["cost_efficiency_trend"] == f"{100 * now / before - 100:+.0f}% vs last week"
    (accuracy,) = _one(
        dump,
        f"""select 100.0 * avg(case when asked_agent is null then (escalation_suggested = 'f')::integer
              else (asked_agent = domain_classification)::integer end)
            from logs where domain_classification is not null and {week}""",
        AT,
        AT,
    )
    assert trends["agent_selection_accuracy"] == f"{accuracy:.0f}%"
    (success,) = _one(
        dump,
        f"""select 100.0 * avg((rating > 3)::integer) from logs
            where escalation_suggested = 't' and rating is not null and {week}""",
        AT,
        AT,
    )
    assert trends["escalation_success_rate"] == f"{success:.0f}%"


def _days(duck: duckdb.DuckDBPyConnection, zone: str) -> tuple[str, str]:
    (today,) = _one(duck, "select (?::timestamptz at time zone ?)::date", AT, zone)
    return str(today), str(today - timedelta(days=1))


_QUESTIONS = {
    "cost_by_provider": """select provider, count(*) as requests, sum(cost_usd) as total_cost from logs
      where {span} group by 1 order by 3 desc""",
    "tool_popularity": """select tool ->> 'name' as tool_name, count(*) as usage_count
      from (select unnest(tools_used::json[]) as tool from logs where {span}) group by 1 order by 2 desc, 1""",
    "agent_performance": """select agent_type, count(*) as interactions, count(rating) as ratings,
      sum(cost_usd) as total_cost from logs where {span} group by 1 order by avg(rating) desc, 1""",
    "cost_breakdown": """select (created_at at time zone 'Asia/Kolkata')::date as date, agent_type,
      count(*) as interactions, sum(input_tokens::bigint + output_tokens::bigint) as total_tokens
      from logs where {span} group by 1, 2 order by 1 desc, sum(coalesce(cost_usd, 0)) desc""",
    "usage_by_day": """select (created_at at time zone 'Asia/Kolkata')::date as day, count(*) as requests,
      sum(coalesce(cost_usd, 0)) as cost from logs where {span} group by 1 order by 1 desc""",
    "user_cost_efficiency": """select count(*) as total_interactions, sum(cost_usd) as total_cost,
      count(rating) as ratings, count(*) filter (where rating > 3) as good_turns from logs where {span}""",
}


@pytest.mark.parametrize("name", _QUESTIONS)
def test_questions_by_name_are_what_duckdb_answers(
    person: Person, dump: duckdb.DuckDBPyConnection, db: Database, name: str
) -> None:
    """Counts and money are equal to the last digit, over a span that begins and ends within an hour."""
    begin_at = AT - timedelta(days=21, minutes=17)
    duck = dump.execute(_QUESTIONS[name].format(span="created_at >= ? and created_at < ?"), [begin_at, AT])
    columns = [each[0] for each in duck.description or ()]
    wanted = duck.fetchall()
    arguments = '"from" => %s, "to" => %s, time_zone => %s'
    with acting_as(db, person):
        rows = db.execute(f"select * from public.{name}({arguments})", [begin_at, AT, "Asia/Kolkata"]).fetchall()
    assert [tuple(row[column] for column in columns) for row in rows] == wanted


def test_contexts_and_handoffs_have_their_samples(
    person: Person, dump: duckdb.DuckDBPyConnection, db: Database
) -> None:
    """Each bucket of context has the rated turns of DuckDB, and hand-offs their ratings."""
    span = 'select * from public.{}("from" => %s, "to" => %s)'
    begin_at = AT - timedelta(days=21)
    with acting_as(db, person):
        contexts = db.execute(span.format("context_effectiveness"), [begin_at, AT]).fetchall()
        handoffs = db.execute(span.format("escalation_success"), [begin_at, AT]).fetchall()
    for row in contexts:
        measure = (
            "context_size_tokens::double"
            if row["measure"] == "context_tokens"
            else ("history_shown::double / (history_shown::bigint + history_left_out::bigint)")
        )
        is_last = row["at_least"] == row["below"]
        n, mean = _one(
            dump,
            f"""select count(*), avg(rating) from logs where rating is not null and created_at >= ? and created_at < ?
                  and {measure} >= ? and {measure} {"<=" if is_last else "<"} ?""",
            *(begin_at, AT, float(row["at_least"]), float(row["below"])),
        )
        assert row["sample_size"] == n, row
        assert float(row["satisfaction"]) == pytest.approx(mean, abs=0.0001), row
    assert {row["measure"] for row in contexts} == {"context_tokens", "history_share"}
    found = dump.execute(
        """select agent_type, count(*), count(rating), count(*) filter (where rating > 3) / count(rating) from logs
           where escalation_suggested = 't' and created_at >= ? and created_at < ? group by 1""",
        [begin_at, AT],
    ).fetchall()
    wanted: dict[str, Any] = {name: (n, rated, pytest.approx(share, abs=0.0001)) for name, n, rated, share in found}
    assert {row["to_agent"]: (row["handoffs"], row["rated"], float(row["success_rate"])) for row in handoffs} == wanted


def test_a_users_page_has_their_caps_and_their_dearest_answers(alice: Person, bob: Person, model: Models) -> None:
    """my_usage has spent, caps, models, conversations and answers of the caller alone, an admin's page too."""
    name = model("echo")
    admin = new_admin(alice.stack)
    for person in (alice, bob, admin):
        finish(person, begin(person, name))
    for person in (alice, admin):
        page = person.rest("POST", "rpc/my_usage", json={"time_zone": "Asia/Kolkata"}).json()
        spent = {"requests": 1, "tokens": 1500, "cost_usd": 0.002, "unpriced_requests": 0}
        assert page["spent"]["month"] == spent | {"cached_answers": 0, "saved_usd": 0}
        assert page["by_model"] == [{"model": name, "requests": 1, "tokens": 1500, "cost_usd": 0.002}]
        assert [each["cost_usd"] for each in page["by_conversation"]] == [0.002]
        assert [each["model"] for each in page["dearest_answers"]] == [name]
        caps = {each["period"]: each for each in page["caps"]}
        assert caps["day"]["spent_usd"] == 0.002
        assert (caps["day"]["forecast_usd"], caps["day"]["is_enough_data"]) == (None, False)


def test_open_turns_are_ones_own_and_for_admins_all(alice: Person, bob: Person, model: Models) -> None:
    """A user sees the own running turns, an admin those of the deployment."""
    name = model("echo")
    mine, his = begin(alice, name), begin(bob, name)
    seen = [
        {turn["turn_id"] for turn in person.rest("POST", "rpc/open_turns", json={}).json()}
        for person in (alice, new_admin(alice.stack))
    ]
    assert seen[0] == {mine["turn_id"]}
    assert {mine["turn_id"], his["turn_id"]} <= seen[1]
    for person, turn in ((alice, mine), (bob, his)):
        finish(person, turn)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("llm_dashboard", {"period": "decade"}),
        ("llm_dashboard", {"time_zone": "Mars/Olympus"}),
        ("my_usage", {"time_zone": "Mars/Olympus"}),
        ("usage_by_day", {"from": "2026-02-01", "to": "2026-01-01"}),
        ("cost_by_provider", {"from": "1900-01-01", "to": "2026-01-01"}),
        ("cost_forecast", {"scope": "everyone"}),
        ("cost_anomalies", {"hours": 0}),
    ],
)
def test_wrong_parameters_are_422(alice: Person, name: str, body: dict[str, Any]) -> None:
    """The functions of the page refuse what no page can show."""
    answer = alice.rest("POST", f"rpc/{name}", json=body)
    assert answer.status_code == 422, answer.text
