"""Alerts of failing and slow models and of an old refresh, with their recoveries."""

from __future__ import annotations

import uuid

from tests.stack.alerts import recover
from tests.stack.people import Stack, service
from tests.stack.turns import Database


def _turns(db: Database, model: str, *, failed: int, good: int, ttft_ms: int = 100) -> None:
    db.execute(
        """insert into public.chat_logs (turn_id, endpoint, status, error_code, model_identifier, ttft_ms)
           select gen_random_uuid(), 'chat', case when n <= %(failed)s then 'failed' else 'completed' end,
             case when n <= %(failed)s then 'provider_error' end, %(model)s,
             case when n > %(failed)s then %(ttft_ms)s end
           from generate_series(1, %(failed)s + %(good)s) as n""",
        {"failed": failed, "good": good, "model": model, "ttft_ms": ttft_ms},
    )


def _of_model(db: Database, model: str) -> list[tuple[str, float, bool]]:
    rows = db.execute("select * from public.cost_alerts where threshold like %s order by id", [f"%{model}"]).fetchall()
    return [(row["threshold"].removesuffix(f" {model}"), float(row["amount"]), row["is_recovery"]) for row in rows]


def test_a_failing_model_is_an_alert_until_it_answers(db: Database, stack: Stack) -> None:
    """The share is that of the last hour; one alert a day, one recovery."""
    model = f"test:{uuid.uuid4()}"
    _turns(db, model, failed=5, good=15)
    for _ in range(2):
        assert service(stack, "POST", "rpc/raise_service_alerts", json={"error_percent": 25}).status_code == 200
    assert _of_model(db, model) == [("errors 25%", 25.0, False)]
    recover(stack, error_percent=25)
    assert len(_of_model(db, model)) == 1
    _turns(db, model, failed=0, good=20)
    recover(stack, error_percent=25)
    recover(stack, error_percent=25)
    assert _of_model(db, model) == [("errors 25%", 25.0, False), ("errors 25%", 25.0, True)]


def test_few_turns_and_errors_of_the_user_are_no_alert(db: Database, stack: Stack) -> None:
    """A share of fewer than twenty turns says nothing, and a refused question is not the model's fault."""
    few, refused = f"test:{uuid.uuid4()}", f"test:{uuid.uuid4()}"
    _turns(db, few, failed=19, good=0)
    _turns(db, refused, failed=20, good=0)
    db.execute("update public.chat_logs set error_code = 'context_exceeded' where model_identifier = %s", [refused])
    service(stack, "POST", "rpc/raise_service_alerts", json={"error_percent": 1})
    assert (_of_model(db, few), _of_model(db, refused)) == ([], [])


def test_a_slow_model_is_an_alert(db: Database, stack: Stack) -> None:
    """The 95th percentile of the time to the first content counts."""
    model = f"test:{uuid.uuid4()}"
    _turns(db, model, failed=0, good=19)
    _turns(db, model, failed=0, good=2, ttft_ms=40_000)
    service(stack, "POST", "rpc/raise_service_alerts", json={"first_content_seconds": 30})
    assert _of_model(db, model) == [("latency 30 s", 40.0, False)]


def test_an_old_refresh_is_an_alert(db: Database, stack: Stack) -> None:
    """The last success counts, whatever failed since; a success is the recovery."""
    moved = "update public.refresh_runs set finished_at = finished_at + %s::interval where status = 'succeeded'"
    db.execute(moved, ["-2000 hours"])
    db.execute(
        "insert into public.refresh_runs (id, trigger, status, finished_at)"
        " values (gen_random_uuid(), 'test', 'succeeded', now() - interval '1001 hours')"
    )
    try:
        service(stack, "POST", "rpc/raise_service_alerts", json={"refresh_hours": 1000})
        rows = db.execute("select * from public.cost_alerts where threshold = 'refresh 1000 h'").fetchall()
        assert [(float(row["amount"]), row["is_recovery"]) for row in rows] == [(1001.0, False)]
        db.execute("update public.refresh_runs set finished_at = now() where trigger = 'test'")
        recover(stack, refresh_hours=1000)
        rows = db.execute("select * from public.cost_alerts where threshold = 'refresh 1000 h' order by id").fetchall()
        assert [row["is_recovery"] for row in rows] == [False, True]
    finally:
        db.execute("delete from public.refresh_runs where trigger = 'test'")
        db.execute(moved, ["2000 hours"])
