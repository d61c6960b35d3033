"""The MCP server by the official clients for JavaScript, the old SDK and the new client, and supabase-js's consent."""

from __future__ import annotations

import pytest

from tests.stack.conftest import Models
from tests.stack.javascript import run
from tests.stack.people import Person
from tests.stack.turns import Database


@pytest.mark.parametrize(("sdk", "revision"), [("sdk", "2025-11-25"), ("client", "2026-07-28")])
def test_a_javascript_client_signs_in_and_calls_tools(
    alice: Person, assist_url: str, able: Models, db: Database, sdk: str, revision: str
) -> None:
    """It finds the sign-in from a 401, gets tokens after the consent, calls tools, and nothing after the revocation."""
    db.execute("insert into public.oauth_apps (client_id, name, scopes) values ('*', 'MCP', '{chat,usage}')")
    calls = [
        {"name": "ask", "arguments": {"prompt": "Hello", "model": able("echo")}},
        {"name": "my_usage", "arguments": {}},
        {"name": "search_my_chats", "arguments": {"query": "tea"}},
    ]
    stack = alice.stack
    try:
        came = run(
            "mcp",
            url=f"{assist_url}/mcp",
            api=stack["SUPABASE_URL"],
            apikey=stack["SUPABASE_ANON_KEY"],
            token=alice.token,
            sdk=sdk,
            calls=calls,
        )
    finally:
        db.execute("delete from public.oauth_apps where client_id = '*'")
    assert came["revision"] == revision
    assert "search_my_chats" not in came["tools"]
    answer, usage, refused = came["came"]
    assert answer["structuredContent"]["cost_usd"] > 0
    assert usage["structuredContent"]["spent"]["today"]["requests"] == 1
    assert refused["content"][0]["text"].startswith("app_not_allowed: ")
    assert [each["client"]["name"] for each in came["grants"]] == ["Helper"]
    assert came["after"]["content"][0]["text"].startswith("app_not_allowed: ")
