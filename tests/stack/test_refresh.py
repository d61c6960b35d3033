"""refresh over real HTTP against the running stack."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.fakes.providers import Upstream
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, service
from tests.stack.turns import Database


def _refresh(stack: Stack, method: str = "POST", kind: str = "", **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {stack['CRON_SECRET']}"} | ({"Content-Type": kind} if kind else {})
    return httpx.request(method, stack["REFRESH_URL"], headers=headers, timeout=60, **options)


def test_the_cron_secret_starts_a_run_that_is_recorded(stack: Stack) -> None:
    """POST and GET with the secret run the steps, and the run's row has the outcome."""
    for method in ("POST", "GET"):
        answer = _refresh(stack, method)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["success"] is True
        assert body["steps"]["models"]["ok"] is True
        (row,) = service(stack, "GET", f"refresh_runs?id=eq.{body['run_id']}").json()
        assert (row["status"], row["trigger"]) == ("succeeded", "cron-secret")
        assert row["steps"] == body["steps"]


def test_a_run_that_was_killed_is_closed_by_the_next_one(stack: Stack, db: Database) -> None:
    """Its row becomes abandoned, with an end; rows that ended stay as they are."""
    db.execute(
        """insert into public.refresh_runs (trigger, status, fence) values
             ('killed', 'running', 0), ('killed', 'partial', 0)"""
    )
    try:
        assert _refresh(stack, json={"steps": ["sweep"]}).status_code == 200
        rows = db.execute("select * from public.refresh_runs where trigger = 'killed' order by id").fetchall()
        found = {row["status"]: row["finished_at"] is not None for row in rows}
        assert found == {"abandoned": True, "partial": False}
        assert db.execute("select from public.refresh_runs where status = 'running'").fetchall() == []
    finally:
        db.execute("delete from public.refresh_runs where trigger = 'killed'")


@pytest.mark.parametrize("token", ["wrong", "Bearer", "x" * 43])
def test_nothing_else_starts_one(stack: Stack, token: str) -> None:
    """Any other bearer is 401."""
    answer = httpx.post(stack["REFRESH_URL"], headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")


def test_a_persons_token_and_the_service_key_do_not_start_one(stack: Stack, alice: Person) -> None:
    """A user who is no admin gets 403; other keys of the project are not accepted."""
    for token, status in ((alice.token, 403), (stack["SUPABASE_SERVICE_KEY"], 401), (stack["SUPABASE_ANON_KEY"], 401)):
        assert httpx.post(stack["REFRESH_URL"], headers={"Authorization": f"Bearer {token}"}).status_code == status


def test_a_short_secret_is_refused(function: Any) -> None:
    """A secret of fewer than 32 characters is not accepted, even if the request sends it."""
    url, _ = function("refresh", CRON_SECRET="short")
    assert httpx.post(url, headers={"Authorization": "Bearer short"}).status_code == 401


def test_a_nodes_models_enter_the_catalogue_once(stack: Stack, db: Database, upstream: Upstream) -> None:
    """The first run adds what a project's node lists, the second changes nothing."""
    node = _node(db, upstream.url("client"))
    try:
        first, second = _refresh(stack).json(), _refresh(stack).json()
        listed = {m["identifier"] for m in second["models"]}
    finally:
        db.execute("delete from public.client_nodes where id = %s", [node])
    assert {f"client:{node}:echo", f"client:{node}:endless"} <= listed
    assert first["syncResults"] == {"added": 2, "updated": 0, "deactivated": 0, "failed": 0, "errors": []}
    assert second["syncResults"]["added"] == second["syncResults"]["updated"] == 0


def test_a_dry_run_changes_nothing(stack: Stack, db: Database, upstream: Upstream) -> None:
    """A dry run counts the models that it would add and adds none."""
    node = _node(db, upstream.url("client"))
    try:
        chunked = _refresh(stack, content=iter([b'{"dry_run"', b": true}"]), kind="application/json").json()
        assert chunked["syncResults"]["added"] == 2
        answer = _refresh(stack, json={"dry_run": True}).json()
        rows = db.execute("select 1 from public.llm_models where node_id = %s", [node]).fetchall()
    finally:
        db.execute("delete from public.client_nodes where id = %s", [node])
    assert answer["syncResults"]["added"] == 2
    assert rows == []


def test_a_node_that_is_down_is_reported_and_nothing_of_it_is_lost(stack: Stack, db: Database, model: Models) -> None:
    """One failing source makes the run partial, names the source, and leaves its models active."""
    identifier = model("echo", base_url="http://127.0.0.1:9/v1")
    answer = _refresh(stack)
    assert answer.status_code == 207
    (error,) = answer.json()["syncResults"]["errors"]
    assert identifier.startswith(error["provider"])
    row = db.execute("select is_active from public.llm_models where identifier = %s", [identifier]).fetchone()
    assert row == {"is_active": True}


def test_one_run_at_a_time(stack: Stack) -> None:
    """Of several concurrent requests one runs and the others get 409; afterwards the next one runs."""
    with ThreadPoolExecutor(8) as pool:
        codes = sorted(answer.status_code for answer in pool.map(lambda _: _refresh(stack), range(8)))
    assert 200 in codes
    assert set(codes) <= {200, 409}
    assert _refresh(stack).status_code == 200


def test_unknown_steps_and_fields_are_422(stack: Stack) -> None:
    """The request is refused before any step runs."""
    assert _refresh(stack, json={"steps": ["everything"]}).status_code == 422
    assert _refresh(stack, json={"x": 1}).status_code == 422
    assert _refresh(stack, "GET", json={"x": 1}).status_code == 422


def _node(db: Database, url: str) -> int:
    row = db.execute(
        """insert into public.client_nodes (owner_id, name, base_url, is_shared)
           values (null, 'n', %s, true) returning id""",
        [url],
    ).fetchone()
    assert row is not None
    return int(row["id"])
