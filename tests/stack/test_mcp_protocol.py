"""POST /mcp as raw HTTP: revisions, headers, sign-in metadata, and bad input, which is refused quickly."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.fakes.providers import Upstream
from tests.providers import named
from tests.stack.conftest import Models
from tests.stack.people import Person, eventually
from tests.stack.turns import Database

MODERN, LEGACY = "2026-07-28", "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def send(url: str, person: Person, body: Any, **headers: str) -> httpx.Response:
    """One message as this person; underscores of header names are hyphens."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): each for name, each in headers.items()}
    return httpx.post(f"{url}/mcp", content=raw, headers=person.headers | sent, timeout=30)


def modern(
    url: str, person: Person, method: str, params: dict[str, Any] | None = None, **headers: str
) -> httpx.Response:
    """A request of the stateless revision with the headers that it wants."""
    params = {"_meta": META} | (params or {})
    wanted = {"MCP_Protocol_Version": MODERN, "Mcp_Method": method}
    wanted |= {"Mcp_Name": str(params["name"])} if "name" in params else {}
    return send(url, person, call(method, params), **(wanted | headers))


def call(method: str, params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A request."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}} | more


def test_the_stateless_revision_needs_no_handshake(alice: Person, assist_url: str) -> None:
    """server/discover and tools/list answer at once, with the type of the result and how long it may be cached."""
    found = modern(assist_url, alice, "server/discover").json()["result"]
    assert MODERN in found["supportedVersions"]
    assert found["capabilities"] == {"tools": {}}
    listed = modern(assist_url, alice, "tools/list").json()["result"]
    assert (listed["resultType"], listed["cacheScope"]) == ("complete", "private")
    assert {"ask", "search_my_chats", "my_usage"} <= {tool["name"] for tool in listed["tools"]}
    assert modern(assist_url, alice, "ping").json()["error"]["code"] == -32601
    assert modern(assist_url, alice, "ping").status_code == 404


@pytest.mark.parametrize(("asked", "given"), [(LEGACY, LEGACY), ("2025-06-18", "2025-06-18"), ("2024-11-05", LEGACY)])
def test_the_handshake_gives_a_revision(alice: Person, assist_url: str, asked: str, given: str) -> None:
    """A known revision is kept, another one gets the newest with a handshake; later messages need no session."""
    result = send(assist_url, alice, call("initialize", {"protocolVersion": asked, "capabilities": {}})).json()[
        "result"
    ]
    assert (result["protocolVersion"], result["serverInfo"]["name"]) == (given, "parley")
    noted = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    accepted = send(assist_url, alice, noted, MCP_Protocol_Version=given)
    assert (accepted.status_code, accepted.content) == (202, b"")
    pong = send(assist_url, alice, call("ping"), MCP_Protocol_Version=given)
    assert pong.json() == {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"\xff\xfe", 400, -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": NaN}}', 400, -32700),
        (b"[" * 500 + b"]" * 500, 400, -32700),
        ([call("ping")], 400, -32600),
        ([], 400, -32600),
        ("ping", 400, -32600),
        (call("ping", jsonrpc="1.0"), 400, -32600),
        (call("ping", id=None), 400, -32600),
        (call("ping", id=True), 400, -32600),
        (call("ping", id=1.5), 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, 400, -32600),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}, 400, -32600),
        (call("resources/list"), 200, -32601),
        (call("x" * 150), 200, -32601),
        (call("tools/call", {"name": "drop_table"}), 200, -32602),
        (call("tools/call", {"name": ["ask"]}), 200, -32602),
        (call("tools/call", {"name": "ask"}), 200, -32602),
        (call("tools/call", {"name": "ask", "arguments": [1]}), 200, -32602),
        (call("tools/call", {"name": "ask", "arguments": {"prompt": " "}}), 200, -32602),
        (call("tools/call", {"name": "ask", "arguments": {"prompt": "x", "temprature": 1}}), 200, -32602),
        (call("tools/call", {"name": "ask", "arguments": {"prompt": "x", "conversation": "mine"}}), 200, -32602),
        (call("tools/call", {"name": "my_usage", "arguments": {"time_zone": 5}}), 200, -32602),
        (call("tools/call", {"name": "search_my_chats", "arguments": {"query": "x", "before": "now"}}), 200, -32602),
        (call("tools/call", {"name": "preset_analyze", "arguments": {"title": "x", "dry_run": True}}), 200, -32602),
    ],
)
def test_a_wrong_message_gets_its_code(alice: Person, assist_url: str, body: Any, status: int, code: int) -> None:
    """What is no request, names no method or tool, or has arguments that do not fit gets JSON-RPC's code."""
    refused = send(assist_url, alice, body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), refused.text


def test_a_request_that_contradicts_its_headers_is_refused(alice: Person, assist_url: str) -> None:
    """A proxy that routes by headers must not see another request than the server."""
    ask = {"name": "ask", "arguments": {"prompt": "x"}}
    for refused in (
        modern(assist_url, alice, "tools/call", ask, Mcp_Name="my_usage"),
        modern(assist_url, alice, "tools/call", ask, Mcp_Method="tools/list"),
        modern(assist_url, alice, "tools/list", {"_meta": META | {next(iter(META)): LEGACY}}),
    ):
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, -32020), refused.text
    bare = modern(assist_url, alice, "tools/list", {"_meta": {}})
    assert (bare.status_code, bare.json()["error"]["code"]) == (400, -32602)
    named = modern(assist_url, alice, "tools/call", {"name": "no"}, Mcp_Name="=?base64?bm8=?=")
    assert named.json()["error"]["code"] == -32602
    unknown = send(assist_url, alice, call("ping"), MCP_Protocol_Version="2031-01-01")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, -32022)
    assert unknown.json()["error"]["data"]["supported"][0] == MODERN


def test_requests_that_http_refuses(alice: Person, assist_url: str) -> None:
    """GET and DELETE, other content, other pages, no JSON wanted, and bodies over a megabyte."""
    ping = call("ping")
    for method in ("GET", "DELETE"):
        refused = httpx.request(method, f"{assist_url}/mcp", headers=alice.headers)
        assert (refused.status_code, refused.headers["Allow"]) == (405, "OPTIONS, POST")
    assert send(assist_url, alice, ping, Content_Type="text/plain").status_code == 415
    assert send(assist_url, alice, ping, Origin="https://evil.example").status_code == 403
    assert send(assist_url, alice, ping, Accept="text/html").status_code == 406
    assert send(assist_url, alice, ping, Accept="application/json, text/event-stream").status_code == 200
    assert send(assist_url, alice, call("ping", {"a": "x" * 1_100_000})).status_code == 413


def test_who_is_not_signed_in_learns_where_to(assist_url: str, alice: Person) -> None:
    """401 names the metadata, at either well-known path; it names the project's Auth as authorization server."""
    refused = httpx.post(f"{assist_url}/mcp", json=call("ping"))
    where = f"{assist_url}/.well-known/oauth-protected-resource"
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == f'Bearer resource_metadata="{where}/mcp"'
    wrong = httpx.post(f"{assist_url}/mcp", json=call("ping"), headers={"Authorization": "Bearer no"})
    assert wrong.headers["WWW-Authenticate"].endswith('error="invalid_token"')
    for address in (where, f"{where}/mcp"):
        found = httpx.get(address).json()
        assert found["resource"] == f"{assist_url}/mcp"
        assert found["authorization_servers"] == [f"{alice.stack['SUPABASE_URL']}/auth/v1"]
    proxied = httpx.get(where, headers={"Host": "mcp.example.com", "X-Forwarded-Proto": "https"}).json()
    assert proxied["resource"] == "https://mcp.example.com/mcp"
    assert httpx.get(where, headers={"Host": 'a"b'}).status_code == 400


def test_a_dead_tool_gives_a_result(alice: Person, assist_url: str, model: Models, db: Database) -> None:
    """A provider that fails is a result with `isError` and our code; the turn is logged as failed."""
    name = model("badkey")
    asked = call("tools/call", {"name": "ask", "arguments": {"prompt": "x", "model": name}})
    result = send(assist_url, alice, asked).json()["result"]
    assert result["isError"]
    assert "structuredContent" not in result
    (row,) = db.execute("select * from public.chat_logs where user_id = %s", [alice.id]).fetchall()
    assert (row["endpoint"], row["status"]) == ("mcp.ask", "failed")
    unknown = call("tools/call", {"name": "ask", "arguments": {"prompt": "x", "model": "no-such-model"}})
    result = send(assist_url, alice, unknown).json()["result"]
    assert result["content"][0]["text"].startswith("model_not_found: ")


def test_a_client_that_hangs_up_ends_its_call(
    alice: Person, assist_url: str, model: Models, db: Database, upstream: Upstream
) -> None:
    """The model's answer is not awaited, and the turn is booked as cancelled."""
    name = named("endless", "client")
    asked = call("tools/call", {"name": "ask", "arguments": {"prompt": "x", "model": model(name)}})
    alice.leave(asked, f"{assist_url}/mcp", when=lambda: upstream.until_called(name))
    statement = "select status from public.chat_logs where user_id = %s"
    assert eventually(lambda: db.execute(statement, [alice.id]).fetchall()) == [{"status": "cancelled"}]


def test_a_query_that_is_not_allowed_gives_a_result(alice: Person, assist_url: str) -> None:
    """DuckDB's sandbox refuses files and writes, and the model reads why."""
    asked = call("tools/call", {"name": "analyze_data", "arguments": {"sql": "copy instruments to 'x.csv'"}})
    result = send(assist_url, alice, asked).json()["result"]
    assert result["isError"]
    assert result["_meta"]["parley/error"]["metadata"]["reason"] == "query_not_allowed"
