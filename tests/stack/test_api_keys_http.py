"""API keys over HTTP: OpenAI's SDK, `x-api-key`, scopes, and what a key may not do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from tests.fakes.providers import Upstream
from tests.providers import variables
from tests.stack.caps import PRICED, counters, reserve_of
from tests.stack.conftest import Models
from tests.stack.keys import UNKNOWN, new_key, revoke
from tests.stack.people import Person, Stack, eventually, log_row
from tests.stack.turns import Database


@pytest.fixture(scope="module", params=["data API", "connection"])
def chat(
    request: pytest.FixtureRequest, stack: Stack, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A chat whose models are scripted, with either way to the ledger; the direct one has no service key."""
    from tests.stack.conftest import running_function  # noqa: PLC0415 - a context manager, not a fixture

    changes = {"data API": {"LEDGER_DATABASE_URL": ""}, "connection": {"SUPABASE_SERVICE_KEY": ""}}[request.param]
    with running_function(stack, "chat", variables(upstream) | changes, tmp_path_factory.mktemp("chat")) as (url, _):
        yield url


def _post(url: str, key: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    sent = headers or {"Authorization": f"Bearer {key}"}
    return httpx.post(url, json=body, headers=sent, timeout=30)


def test_openais_sdk_works_with_a_key(alice: Person, able: Models, chat: str, db: Database) -> None:
    """Models, an answer and a stream; the rows are the owner's, name the key, and its usage is counted."""
    key = new_key(alice)
    identifier = able("echo")
    with openai.OpenAI(base_url=f"{chat}/v1", api_key=key["key"], max_retries=0) as client:
        assert {each.object for each in client.models.list()} == {"model"}
        question: Any = {"model": identifier, "messages": [{"role": "user", "content": "Hello"}]}
        assert client.chat.completions.create(**question).choices[0].message.content == "Hello "
        pieces = list(client.chat.completions.create(**question, stream=True))
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == "Hello "
    rows = alice.rows("chat_logs?select=api_key_id,status,endpoint")
    assert rows == [{"api_key_id": key["id"], "status": "completed", "endpoint": "chat.completions"}] * 2
    assert counters(db, f"key:{key['id']}") == counters(db, alice.id)
    assert alice.rows("api_keys")[0]["last_used_at"]


def test_a_conversation_with_a_key_is_the_owners(alice: Person, model: Models, chat: str, db: Database) -> None:
    """`POST /` with `x-api-key` stores the conversation, which the owner reads and continues with a token."""
    key = new_key(alice)["key"]
    name = model("echo")
    body = {"message": "Hello", "model": name, "stream": False}
    answer = _post(chat, key, body, **{"x-api-key": key})
    assert answer.status_code == 200, answer.text
    conversation = answer.json()["conversation_id"]
    assert len(alice.rows(f"messages?conversation_id=eq.{conversation}")) == 2
    more = alice.ask(body | {"conversation_id": conversation}, chat)
    assert more.json()["conversation_id"] == conversation
    assert log_row(db, more.json()["receipt"]["turn_id"])["api_key_id"] is None


def test_the_cap_of_a_key_is_402_with_its_scope(alice: Person, model: Models, chat: str) -> None:
    """The SDK raises an error with the code; metadata and headers say which cap and what is left."""
    name = model("echo", PRICED)
    reserve = reserve_of(alice, name)
    key = new_key(alice, daily_cost_usd=str(reserve / 2))["key"]
    refused = _post(chat, key, {"message": "hi", "model": name})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["metadata"]["scope"]) == (402, "budget_exceeded", "key")
    assert Decimal(refused.headers["x-budget-remaining-usd"]) == reserve / 2
    assert "API key" in error["message"]
    assert alice.ask({"message": "hi", "model": name, "stream": False}, chat).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v1/chat/completions", "/v1/models"])
def test_a_wrong_key_is_401(chat: str, path: str) -> None:
    """An unknown key, one of another form, and a key of another service have a code of their own."""
    for key in (UNKNOWN, "pk_live_51Hxxxxxxxxxxxx", "pk_", UNKNOWN.upper().replace("PK", "pk") + "0"):
        sent = httpx.request("GET" if "models" in path else "POST", chat + path, headers={"x-api-key": key}, timeout=20)
        assert (sent.status_code, sent.json()["error"]["code"]) == (401, "invalid_api_key")
        assert sent.json()["error"]["metadata"] == {"reason": "unknown"}
        assert sent.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_or_expired_key_stops_at_once(alice: Person, model: Models, chat: str, db: Database) -> None:
    """The next turn is 401, although the instance has just used the key."""
    body = {"message": "hi", "model": model("echo"), "stream": False}
    revoked, expired = new_key(alice), new_key(alice)
    assert [_post(chat, each["key"], body).status_code for each in (revoked, expired)] == [200, 200]
    revoke(alice, revoked)
    db.execute("update public.api_keys set expires_at = now() where id = %s", [expired["id"]])
    reasons = [_post(chat, each["key"], body).json()["error"]["metadata"]["reason"] for each in (revoked, expired)]
    assert reasons == ["revoked", "expired"]


def test_the_list_of_models_follows_a_revocation_shortly(
    alice: Person, chat_url: str, function: Callable[..., Any], upstream: Upstream
) -> None:
    """Within 25 seconds a revoked key lists no models, over either way to the ledger."""
    other, _ = function("chat", LEDGER_DATABASE_URL="", **variables(upstream))
    key = new_key(alice)
    headers = {"Authorization": f"Bearer {key['key']}"}

    def statuses() -> list[int]:
        urls = [f"{url.rstrip('/')}/v1/models" for url in (chat_url, other)]
        return [httpx.get(url, headers=headers).status_code for url in urls]

    assert statuses() == [200, 200]
    revoke(alice, key)
    assert eventually(lambda: statuses() == [401, 401], 25)


def test_scopes_limit_a_key(alice: Person, model: Models, chat: str, stack: Stack) -> None:
    """A key for models runs no turn and the reverse; 403 names the missing scope."""
    lists, runs = (new_key(alice, scopes=[scope])["key"] for scope in ("models", "chat"))
    body = {"message": "hi", "model": model("echo"), "stream": False}
    refused = _post(chat, lists, body)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["metadata"]) == (403, "insufficient_scope", {"scope": "chat"})
    assert _post(chat, runs, body).status_code == 200
    for base in (f"{chat}/v1/models", stack["LLMS_URL"]):
        got = [httpx.get(base, headers={"x-api-key": key}, timeout=20).status_code for key in (lists, runs)]
        assert got == [200, 403], base


def test_a_key_is_no_session(alice: Person, stack: Stack) -> None:
    """It reads no table, creates no key, is no admin, probes no node and starts no refresh, even an admin's."""
    key = new_key(alice)["key"]
    headers = {"Authorization": f"Bearer {key}", "apikey": stack["SUPABASE_ANON_KEY"]}
    rest = f"{stack['SUPABASE_URL']}/rest/v1"
    assert httpx.get(f"{rest}/api_keys", headers=headers).status_code == 401
    assert httpx.post(f"{rest}/rpc/create_api_key", json={"name": "x"}, headers=headers).status_code == 401
    assert httpx.get(f"{stack['SUPABASE_URL']}/auth/v1/user", headers=headers).status_code in {401, 403}
    forbidden: Callable[..., int] = lambda *a: httpx.request(*a, headers=headers, timeout=20).status_code  # noqa: E731
    assert forbidden("GET", f"{stack['LLMS_URL']}/debug") == 403
    assert forbidden("POST", f"{stack['LLMS_URL']}/nodes/1/probe") == 403
    assert forbidden("POST", stack["REFRESH_URL"]) == 403
