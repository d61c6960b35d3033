"""The MCP server by the official Python client: sign-in with consent, each tool, budgets, revocation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from tests.fakes.providers import Upstream
from tests.stack.assists import INSIGHT, market, name_of, plays, says
from tests.stack.conftest import Models
from tests.stack.keys import new_key, revoke
from tests.stack.mcp_clients import App, Mode, app_token, with_app, with_token
from tests.stack.people import Person, log_row
from tests.stack.turns import Database

Allow = Callable[..., None]


@pytest.fixture
def allow_apps(db: Database) -> Iterator[Allow]:
    """Lists every app that a user consents to."""

    def allow(scopes: str = "{chat,history,models,usage}", daily_cost_usd: str | None = None) -> None:
        db.execute(
            """insert into public.oauth_apps (client_id, name, scopes, daily_cost_usd) values ('*', 'MCP', %s, %s)
               on conflict (client_id) do update
                 set scopes = excluded.scopes, daily_cost_usd = excluded.daily_cost_usd""",
            [scopes, daily_cost_usd],
        )

    yield allow
    db.execute("delete from public.oauth_apps where client_id = '*'")


def ask_alone(model: str) -> Callable[[Client], Awaitable[Any]]:
    """Asks this model once."""

    async def act(client: Client) -> Any:
        return await client.call_tool("ask", {"prompt": "Hello", "model": model})

    return act


def _text(result: Any) -> str:
    return str(result.content[0].text)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_an_app_signs_in_and_calls_each_tool(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, db: Database, allow_apps: Allow, mode: Mode
) -> None:
    """Discovery, registration, consent and PKCE lead to a token with which every listed tool answers."""
    allow_apps()
    model = plays(upstream, able("fixed"), says("Tea is ready"), says(INSIGHT))
    alice.whole("Where is the samovar?", model=able("fixed", "client"))
    app = App(alice)

    async def act(client: Client) -> dict[str, Any]:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        calls = {
            "ask": {"prompt": "Is tea ready?", "model": model},
            "search_my_chats": {"query": "samovar"},
            "my_usage": {},
            "describe_data": {},
            "analyze_data": {"sql": "select count(*) as n from instruments"},
            "preset_market_brief": market() | {"model": model},
        }
        assert calls.keys() <= tools.keys()
        assert all(tool.output_schema and tool.annotations for tool in tools.values())
        return {name: await client.call_tool(name, arguments) for name, arguments in calls.items()}

    results = with_app(assist_url, app, act, mode=mode)
    assert app.asked["client"]["name"] == "Helper"
    assert {name: _text(each) for name, each in results.items() if each.is_error} == {}
    found = {name: each.structured_content for name, each in results.items()}
    assert found["ask"]["answer"] == _text(results["ask"]) == "Tea is ready"
    assert found["ask"]["cost_usd"] > 0
    assert [each["snippet"] for each in found["search_my_chats"]["messages"]] == ["Where is the ⟪samovar⟫"]
    assert found["my_usage"]["spent"]["today"]["requests"] >= 1
    assert found["analyze_data"]["rows"][0][0] > 0
    assert found["preset_market_brief"] == INSIGHT
    row = log_row(db, found["ask"]["turn_id"])
    assert (row["endpoint"], row["status"], str(row["user_id"])) == ("mcp.ask", "completed", alice.id)
    (key,) = alice.rows("api_keys")
    assert (key["client_id"], str(row["api_key_id"])) == (app.client_id, key["id"])


def test_an_app_is_refused_beyond_its_budget(
    alice: Person, assist_url: str, able: Models, upstream: Upstream, allow_apps: Allow
) -> None:
    """The tool's result has `isError` and the code; nothing is asked of a model, and the user's own turns go on."""
    allow_apps(daily_cost_usd="0.000001")
    name = able("echo")
    act = ask_alone(name)
    refused = with_app(assist_url, App(alice), act)
    assert refused.is_error
    assert upstream.calls_of(name_of(name)) == []
    assert _text(refused).startswith("budget_exceeded: ")
    assert refused.meta["parley/error"]["metadata"]["scope"] == "key"
    assert not with_token(assist_url, alice.token, act).is_error


def test_an_app_goes_on_with_no_conversation(alice: Person, assist_url: str, able: Models, allow_apps: Allow) -> None:
    """A stored conversation would show it what the consent does not cover; it may begin one of its own."""
    allow_apps()
    name = able("fixed", "client")
    conversation = alice.whole("Where is the key?", model=name)["conversation_id"]
    asked = {"prompt": "And?", "model": name}

    async def act(client: Client) -> list[Any]:
        return [await client.call_tool("ask", asked | {"conversation": each}) for each in (conversation, "new")]

    refused, begun = with_app(assist_url, App(alice), act)
    assert _text(refused).startswith("app_not_allowed: ")
    assert begun.structured_content["conversation_id"] not in {None, conversation}


def test_a_revoked_app_asks_nothing(alice: Person, assist_url: str, able: Models, allow_apps: Allow) -> None:
    """After the person takes back the consent the live token runs no turn and reads nothing; a refresh fails, too."""
    allow_apps()
    name, app = able("echo"), App(alice)
    asked = {"ask": {"prompt": "Hello", "model": name}, "search_my_chats": {"query": "tea"}, "my_usage": {}}

    async def act(client: Client) -> list[Any]:
        first = await client.call_tool("ask", asked["ask"])
        app.revoke()
        return [first, *[await client.call_tool(tool, arguments) for tool, arguments in asked.items()]]

    first, *rest = with_app(assist_url, app, act)
    assert not first.is_error
    assert [_text(each).partition(":")[0] for each in rest] == ["app_not_allowed"] * 3
    assert app.tokens is not None
    refreshed = app_token(app, grant_type="refresh_token", refresh_token=app.tokens.refresh_token)
    assert (refreshed.status_code, refreshed.json()["error"]) == (400, "invalid_grant")


def test_an_app_that_is_not_listed_is_refused(alice: Person, assist_url: str) -> None:
    """A person's consent is not enough: the operator lists the app, or `*`."""
    app = App(alice)

    async def act(client: Client) -> None:
        await client.list_tools()

    with pytest.raises((MCPError, BaseExceptionGroup)):
        with_app(assist_url, app, act)
    assert app.tokens is not None
    headers = {"Authorization": f"Bearer {app.tokens.access_token}"}
    refused = httpx.post(f"{assist_url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "app_not_allowed")


def test_a_person_denies_an_app(alice: Person, assist_url: str, allow_apps: Allow) -> None:
    """The app gets `access_denied` and no tokens."""
    allow_apps()
    app = App(alice, action="deny")

    async def act(client: Client) -> None:
        await client.list_tools()

    with pytest.raises((AssertionError, BaseExceptionGroup)):
        with_app(assist_url, app, act)
    assert app.tokens is None
    assert app.auth("GET", "user/oauth/grants") == []


def test_a_second_sign_in_needs_no_second_consent(alice: Person, assist_url: str, allow_apps: Allow) -> None:
    """The registered app whose tokens are lost gets new ones, because the consent covers them."""
    allow_apps()
    app = App(alice)

    async def act(client: Client) -> int:
        return len((await client.list_tools()).tools)

    assert with_app(assist_url, app, act) > 0
    app.tokens = None
    assert with_app(assist_url, app, act) > 0
    assert "redirect_url" in app.asked
    (grant,) = app.auth("GET", "user/oauth/grants")
    assert (grant["client"]["id"], grant["client"]["name"]) == (app.client_id, "Helper")


def test_a_key_lists_and_calls_what_its_scopes_allow(alice: Person, assist_url: str, able: Models) -> None:
    """A key for chat sees no tool that reads; a call of one says which scope it lacks; a revoked key is refused."""
    name = able("echo")
    key, reader = new_key(alice), new_key(alice, scopes=["history", "usage"])

    async def act(client: Client) -> tuple[set[str], Any, Any]:
        names = {tool.name for tool in (await client.list_tools()).tools}
        answer = await client.call_tool("ask", {"prompt": "Hello", "model": name})
        return names, answer, await client.call_tool("my_usage", {})

    names, answer, usage = with_token(assist_url, key["key"], act)
    assert "ask" in names
    assert not names & {"search_my_chats", "my_usage"}
    assert not answer.is_error
    assert _text(usage).startswith("insufficient_scope: ")
    names, answer, usage = with_token(assist_url, reader["key"], act)
    assert names == {"search_my_chats", "my_usage"}
    assert _text(answer).startswith("insufficient_scope: ")
    assert usage.structured_content["spent"]["today"]["requests"] == 1
    revoke(alice, key)
    again = with_token(assist_url, key["key"], ask_alone(name))
    assert _text(again).startswith("invalid_api_key: ")


def test_a_conversation_goes_on_and_is_the_persons_own(
    alice: Person, bob: Person, assist_url: str, able: Models, upstream: Upstream
) -> None:
    """`new` stores the turn and gives an id; with the id the model sees the history; another person gets 404's code."""
    name = plays(upstream, able("fixed"), says("First"), says("Second"))

    async def first(client: Client) -> Any:
        return await client.call_tool("ask", {"prompt": "One", "model": name, "conversation": "new"})

    begun = with_token(assist_url, alice.token, first).structured_content
    conversation = begun["conversation_id"]

    async def second(client: Client) -> Any:
        return await client.call_tool("ask", {"prompt": "Two", "model": name, "conversation": conversation})

    assert with_token(assist_url, alice.token, second).structured_content["answer"] == "Second"
    stored = alice.rows(f"messages?conversation_id=eq.{conversation}&select=content&order=created_at,role.desc")
    assert [each["content"] for each in stored] == ["One", "First", "Two", "Second"]
    assert _text(with_token(assist_url, bob.token, second)).startswith("conversation_not_found: ")
