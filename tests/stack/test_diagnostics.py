"""Who may start a refresh, and GET /debug of an admin, over real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.fakes.providers import Shelf, Upstream, entry
from tests.providers import variables
from tests.stack.conftest import Models, Refresh
from tests.stack.people import Person, Stack, new_admin
from tests.stack.turns import Database


@pytest.fixture
def admin(stack: Stack) -> dict[str, str]:
    """The headers of an admin."""
    return new_admin(stack).headers


def test_an_admin_sees_whether_all_is_well(
    refresh: Refresh, admin: dict[str, str], alice: Person, llms_url: str
) -> None:
    """After a refresh no check is broken; a user who is no admin is refused."""
    refresh()
    received = httpx.get(f"{llms_url}/debug", headers=admin).json()
    checks = {check["check"]: check for check in received["checks"]}
    assert received["ok"] is True, received
    assert checks["ledger connection"]["verdict"] == "ok"
    assert checks["row-level security"]["verdict"] == checks["clock"]["verdict"] == checks["refresh"]["verdict"] == "ok"
    assert "claude-3-7-sonnet-matcha" in checks["prices"]["found"]["unpriced"]
    assert "key-of" not in httpx.get(f"{llms_url}/debug", headers=admin).text
    assert httpx.get(f"{llms_url}/debug", headers=alice.headers).status_code == 403


def test_an_admin_tries_a_connection(
    refresh: Refresh, admin: dict[str, str], model: Models, upstream: Upstream, llms_url: str
) -> None:
    """A model of each provider answers with one token; an unknown one gets a fix."""
    upstream.shelves["anthropic"] = Shelf([entry("anthropic", "fixed~tried"), entry("anthropic", "badkey~tried")])
    refresh()

    def tried(identifier: str) -> dict[str, Any]:
        answer = httpx.post(f"{llms_url}/debug/test", json={"identifier": identifier}, headers=admin, timeout=40)
        assert answer.status_code == 200, answer.text
        received: dict[str, Any] = answer.json()
        return received

    for identifier in ("anthropic:fixed~tried", model("fixed~tried"), "openai:fixed~tried", "google", "huggingface"):
        assert tried(identifier)["ok"] is True, identifier
    (called,) = upstream.calls_of("fixed~tried")[:1]
    assert called.body["max_tokens"] == 1
    refused = tried("anthropic:badkey~tried")
    assert (refused["ok"], refused["error"]) == (False, "provider_auth_failed")
    assert "key" in refused["fix"]


def test_an_admins_token_starts_a_refresh(refresh_url: str, admin: dict[str, str], refresh: Refresh) -> None:
    """The run's row has the trigger `admin`."""
    assert refresh is not None
    answer = httpx.post(refresh_url, json={"steps": ["models"], "dry_run": True}, headers=admin, timeout=60)
    assert answer.status_code == 200, answer.text


def test_only_lambdas_schedule_starts_a_refresh_by_its_path(
    db: Database, refresh: Refresh, function: Callable[..., Any], refresh_url: str, upstream: Upstream
) -> None:
    """The header that the adapter sets is accepted on Lambda only."""
    assert refresh is not None
    event: dict[str, Any] = {"headers": {"x-amzn-request-context": "null"}, "json": {}, "timeout": 60}
    assert httpx.post(f"{refresh_url}/_events", **event).status_code == 404
    url, _ = function("refresh", **variables(upstream), AWS_LAMBDA_FUNCTION_NAME="refresh")
    answer = httpx.post(f"{url}/_events", **event)
    assert answer.status_code in {200, 207}, answer.text
    run = db.execute("select trigger from public.refresh_runs where id = %s", [answer.json()["run_id"]]).fetchone()
    assert run == {"trigger": "aws-event"}
    forged = httpx.post(f"{url}/_events", headers={"x-amzn-request-context": '{"http": {}}'})
    assert (forged.status_code, forged.json()["error"]["code"]) == (404, "not_found")
