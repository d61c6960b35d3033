"""GET /debug on a database whose access rules were changed: each change is named with its object and a fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, new_admin, service
from tests.stack.turns import Database

Debug = Callable[[], dict[str, Any]]

# A change, its undoing, the object that is named, and the verdict.
CHANGES = {
    "a privilege of admins alone": (
        "grant delete on public.chat_logs to parley_admin",
        "revoke delete on public.chat_logs from parley_admin",
        "public.chat_logs",
        "broken",
    ),
    "a policy by which admins change rows of others": (
        "create policy odd on public.feedback for delete to parley_admin using (true)",
        "drop policy odd on public.feedback",
        "public.feedback",
        "broken",
    ),
    "a second role that may act as an admin": (
        "grant parley_admin to anon",
        "revoke parley_admin from anon",
        "role anon",
        "broken",
    ),
    "a data API that may not act as an admin": (
        "revoke parley_admin from authenticator",
        "grant parley_admin to authenticator",
        "role authenticator",
        "warning",
    ),
    "a permissive policy": (
        "create policy odd on public.messages for select to authenticated using (true)",
        "drop policy odd on public.messages",
        "public.messages",
        "broken",
    ),
    "a policy for everyone without a sign-in": (
        "create policy odd on public.usage_hourly using (hour is not null)",
        "drop policy odd on public.usage_hourly",
        "public.usage_hourly",
        "broken",
    ),
    "a grant to anon": (
        "grant select on public.chat_logs to anon",
        "revoke all on public.chat_logs from anon",
        "public.chat_logs",
        "warning",
    ),
    "a grant of one column to anon": (
        "grant select (title) on public.llm_conversations to anon",
        "revoke select (title) on public.llm_conversations from anon",
        "public.llm_conversations",
        "warning",
    ),
    "a whole table where columns are granted": (
        "grant update on public.llm_conversations to authenticated",
        """revoke update on public.llm_conversations from authenticated;
           grant update (title, default_model, conversation_status, conversation_metadata, allows_training)
             on public.llm_conversations to authenticated""",
        "public.llm_conversations",
        "broken",
    ),
    "a view with its owner's rights": (
        "create view public.odd as select * from public.chat_logs; grant select on public.odd to authenticated",
        "drop view public.odd",
        "public.odd",
        "broken",
    ),
    "a materialized view": (
        """create materialized view public.odd as select * from public.chat_logs;
           grant select on public.odd to authenticated""",
        "drop materialized view public.odd",
        "public.odd",
        "broken",
    ),
    "a definer function for anon": (
        "grant execute on function public.my_limits() to anon",
        "revoke execute on function public.my_limits() from anon",
        "public.my_limits()",
        "broken",
    ),
    "a definer function for everyone": (
        "grant execute on function public.my_limits() to public",
        "revoke execute on function public.my_limits() from public",
        "public.my_limits()",
        "broken",
    ),
    "the service's function for everyone signed in": (
        "grant execute on function public.chat_finish(jsonb) to authenticated",
        "revoke execute on function public.chat_finish(jsonb) from authenticated",
        "public.chat_finish(jsonb)",
        "broken",
    ),
    "a definer function with the caller's search_path": (
        "alter function public.my_limits() reset search_path",
        "alter function public.my_limits() set search_path = ''",
        "public.my_limits()",
        "warning",
    ),
    "a grant in schema private": (
        "grant select on private.turns to authenticated",
        "revoke all on private.turns from authenticated",
        "private.turns",
        "broken",
    ),
    "truncate": (
        "grant truncate on public.messages to service_role",
        "revoke truncate on public.messages from service_role",
        "public.messages",
        "warning",
    ),
    "a service that deletes": (
        "grant delete on public.usage_limits to service_role",
        "revoke delete on public.usage_limits from service_role",
        "public.usage_limits",
        "warning",
    ),
    "row-level security off in schema private": (
        "alter table private.settings disable row level security",
        "alter table private.settings enable row level security",
        "private.settings",
        "warning",
    ),
}


@pytest.fixture
def debug(stack: Stack) -> Debug:
    """Asks /debug as an admin and gives the check of access rules."""
    headers = new_admin(stack).headers

    def ask() -> dict[str, Any]:
        answer = httpx.get(f"{stack['LLMS_URL']}/debug", headers=headers, timeout=20)
        assert answer.status_code == 200, answer.text
        (check,) = [each for each in answer.json()["checks"] if each["check"] == "row-level security"]
        assert answer.json()["ok"] is False or check["verdict"] != "broken"
        found: dict[str, Any] = check
        return found

    return ask


@pytest.fixture
def change(db: Database) -> Iterator[Callable[[str, str], None]]:
    """Changes the schema until the end of the test."""
    undoings: list[str] = []

    def run(statement: str, undoing: str) -> None:
        db.execute(statement)
        undoings.append(undoing)

    yield run
    for undoing in undoings:
        db.execute(undoing)


def test_the_migrations_follow_every_rule(debug: Debug) -> None:
    """The diagnosis of a migrated database has no finding and checks everything."""
    check = debug()
    assert (check["verdict"], check["fix"]) == ("ok", None), check
    assert check["found"]["relations"] >= 16


def test_any_table_without_row_level_security_is_named(debug: Debug, db: Database) -> None:
    """A table with or without rows is named, with the statement that enables row-level security again."""
    tables = db.execute(
        "select oid::regclass::text as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    ).fetchall()
    assert {"chat_logs", "messages", "user_llm_profiles"} <= {row["name"].removeprefix("public.") for row in tables}
    for name in ("public." + row["name"].removeprefix("public.") for row in tables):
        db.execute(f"alter table {name} disable row level security")
        fix = f"alter table {name} enable row level security;"
        try:
            check = debug()
        finally:
            db.execute(fix)
        off = [each["object"] for each in check["found"]["findings"] if each["problem"] == "row-level security is off"]
        assert (check["verdict"], off) == ("broken", [name])
        assert fix in check["fix"]


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_of_access_is_named(debug: Debug, change: Callable[[str, str], None], name: str) -> None:
    """The finding names the changed object; a change that opens no access is a warning."""
    statement, undoing, named, verdict = CHANGES[name]
    change(statement, undoing)
    check = debug()
    assert check["verdict"] == verdict, check
    assert named in {each["object"] for each in check["found"]["findings"]}
    assert named in check["fix"]


def test_rows_that_a_stranger_sees_are_found_whatever_the_policy_says(
    debug: Debug, change: Callable[[str, str], None], alice: Person, model: Models
) -> None:
    """A condition that names the caller and holds for all passes the rules; a row of another person gives it away."""
    alice.whole("hello", model=model("echo"))
    condition = "using ((select auth.uid()) is not null)"
    change(
        f"create policy odd on public.messages for select to authenticated {condition}",
        "drop policy odd on public.messages",
    )
    check = debug()
    assert check["verdict"] == "broken"
    assert "public.messages: a user without any data sees rows" in check["fix"]


def test_a_table_that_is_locked_is_not_called_good(debug: Debug, stack: Stack) -> None:
    """While a migration locks a table, the check ends in time and reports the table as unchecked."""
    with psycopg.connect(stack["DATABASE_URL"]) as other:
        other.execute("lock table public.feedback in access exclusive mode")
        check = debug()
    assert check["verdict"] == "warning"
    assert check["found"]["not_checked"] == ["every table"]


def test_only_admins_ask_and_nothing_is_left_behind(debug: Debug, alice: Person, stack: Stack, db: Database) -> None:
    """Other users and the service are refused; the check creates no account."""
    before = db.execute("select count(*) as n from auth.users").fetchone()
    for name in ("diagnose_access", "diagnose_visibility"):
        assert alice.rest("POST", f"rpc/{name}", json={}).status_code == 403
        assert service(stack, "POST", f"rpc/{name}", json={}).status_code == 403
    debug()
    assert db.execute("select count(*) as n from auth.users").fetchone() == before
