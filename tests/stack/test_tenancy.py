"""Who may do what: every table and function, for anon, two users, an admin and the service, through the data API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stack.access_tables import CALLS, INSERTS, SELECTS, UPDATES
from tests.stack.cast import Cast
from tests.stack.people import service
from tests.stack.turns import Database

_UNTOUCHABLE = (
    "chat_logs",
    "usage_counters",
    "usage_hourly",
    "usage_daily",
    "cost_alerts",
    "cost_corrections",
    "provider_bills",
    "messages",
    "provider_health",
    "refresh_runs",
    "conversation_members",
)


@pytest.mark.parametrize("path", SELECTS)
def test_rows_are_seen_by_those_they_concern(cast: Cast, db: Database, path: str) -> None:
    """Without a token it is 401; another user sees no row; an admin and the service see it."""
    # Runs of refresh by other tests remove these rows.
    db.execute("insert into public.refresh_runs (trigger) values ('tenancy')")
    db.execute(
        "insert into public.model_quality (model_identifier, turns, errors, ratings) values ('tenancy', 1, 0, 0) "
        "on conflict do nothing"
    )
    for who, wanted in zip(cast.outsiders, SELECTS[path], strict=True):
        answer = cast.ask(who, "GET", cast.filled(path))
        seen = answer.status_code if answer.status_code != 200 or answer.json() else 0
        assert seen == wanted, (who, answer.text)


@pytest.mark.parametrize("table", INSERTS)
def test_no_user_writes_rows_of_another(cast: Cast, table: str) -> None:
    """A user inserts only own rows; only the ledger writes logs, counters and conversations."""
    row, wanted = INSERTS[table]
    for who, status in zip(cast.everyone, wanted, strict=True):
        answer = cast.ask(who, "POST", table, json=cast.filled(row))
        assert answer.status_code == (status or 201), (who, answer.text)


@pytest.mark.parametrize("path", UPDATES)
def test_a_stranger_changes_nothing(cast: Cast, path: str) -> None:
    """An update or a deletion by another user is refused or changes no row."""
    for method, body in (("PATCH", UPDATES[path]), ("DELETE", None)):
        options = {"json": body} if body else {}
        answer = cast.stranger.rest(method, cast.filled(path), headers={"Prefer": "return=representation"}, **options)
        assert answer.status_code == 403 or answer.json() == [], answer.text
        assert cast.ask("anon", method, cast.filled(path), **options).status_code == 401


@pytest.mark.parametrize("table", _UNTOUCHABLE)
def test_not_even_an_admin_or_the_service_rewrites_history(cast: Cast, table: str) -> None:
    """An admin cannot update ledgers and messages, and the service cannot delete them."""
    path = cast.filled(next(each for each in UPDATES if each.startswith(table)))
    changed = cast.admin.rest("PATCH", path, json=UPDATES[next(each for each in UPDATES if each.startswith(table))])
    assert changed.status_code == 403, changed.text
    assert service(cast.stack, "DELETE", path).status_code == 403


def test_the_service_changes_caps_and_deletes_none(cast: Cast) -> None:
    """The service removes a cap by setting null; it cannot delete rows."""
    path = cast.filled("usage_limits?scope=eq.{stranger}")
    row = {"scope": cast.names["stranger"], "daily_requests": 5}
    assert service(cast.stack, "POST", "usage_limits", json=row).status_code == 201
    assert service(cast.stack, "PATCH", path, json={"daily_requests": None}).status_code == 204
    assert service(cast.stack, "GET", path).json()[0]["daily_requests"] is None
    assert service(cast.stack, "DELETE", path).status_code == 403


@pytest.mark.parametrize("name", CALLS)
def test_functions_are_called_by_those_they_are_for(cast: Cast, name: str) -> None:
    """Anon may call no function of Parley; only the service may settle, only users may begin a turn."""
    arguments, wanted = CALLS[name]
    for who, status in zip(cast.outsiders, wanted, strict=True):
        answer = cast.ask(who, "POST", f"rpc/{name}", json=cast.filled(arguments))
        assert answer.status_code == status, (who, answer.text)


@pytest.mark.parametrize(
    ("column", "value"), [("has_key", True), ("models", [{"id": "x"}]), ("last_seen_at", "now"), ("owner_id", None)]
)
def test_not_even_its_owner_writes_what_a_node_is_known_for(cast: Cast, column: str, value: Any) -> None:
    """Only set_node_key and a probe write these columns; the owner of a node cannot change."""
    row = {"name": "x", "base_url": "https://x.example/v1", column: value}
    path = cast.filled("client_nodes?id=eq.{node}")
    for who in (cast.owner, cast.stranger, cast.admin):
        assert cast.ask(who, "PATCH", path, json={column: value}).status_code == 403
        assert column == "owner_id" or cast.ask(who, "POST", "client_nodes", json=row).status_code == 403
    assert column in {"models", "last_seen_at"} or service(cast.stack, "PATCH", path, json={column: value}).is_error
