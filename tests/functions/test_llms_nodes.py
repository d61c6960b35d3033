"""The probe of a client node over HTTP, with a scripted database and node."""

from __future__ import annotations

from typing import Any

import pytest

from functions.llms.main import ROUTES
from shared import auth, nodes
from shared.endpoint import respond
from tests.asgi import Caller, call
from tests.fakes.openai import OpenAiHost
from tests.fakes.supabase import PERSON_ID, Project

pytestmark = pytest.mark.anyio
NODES, STORE, KEY = "/rest/v1/client_nodes", "/rest/v1/rpc/store_node_models", "/rest/v1/rpc/node_key"
ADMIN = {"app_metadata": {"role": "admin"}}


@pytest.fixture(autouse=True)
def _new_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that has seen no token yet."""
    monkeypatch.setattr(auth, "verifier", auth.Verifier())


def _shows(project: Project, host: OpenAiHost, **changes: Any) -> None:
    """The database shows node 7 and takes its models."""
    row = {"id": 7, "owner_id": PERSON_ID, "base_url": host.url, "has_key": False} | changes
    project.answers |= {NODES: (200, [row]), STORE: (200, {"id": 7, "models": [], "last_seen_at": "now"})}


async def _probe(project: Project, node: str = "7", **claims: Any) -> Caller:
    sent = {"Authorization": f"Bearer {project.token(**claims)}", "Cookie": "a=b", "apikey": "sb_publishable_x"}
    return await call(lambda request: respond(request, ROUTES), "POST", f"/nodes/{node}/probe", sent)


def _code(got: Caller) -> tuple[int, str]:
    return got.status, got.json()["error"]["code"]


async def test_what_the_node_lists_is_stored_as_the_service(project: Project, host: OpenAiHost) -> None:
    """The node is read with the user's token, its models are stored with the service key."""
    _shows(project, host)
    host.pieces = [b'{"data": [{"id": "m", "max_model_len": 4096, "pricing": {"input": 0}}]}']
    got = await _probe(project)
    assert (got.status, got.json()) == (200, {"id": 7, "models": [], "last_seen_at": "now"})
    read, stored = project.asked
    assert (read.path, read.headers["authorization"][:9], stored.headers["apikey"]) == (
        NODES,
        "Bearer ey",
        "sb_secret_x",
    )
    models = [{"id": "m", "name": None, "capabilities": {"context_window": 4096}}]
    assert stored.arguments == {"node_id": 7, "models": models}


@pytest.mark.parametrize("key", [None, "sk-node"])
async def test_a_node_learns_its_own_key_and_nothing_else(project: Project, host: OpenAiHost, key: str | None) -> None:
    """The node gets no token, cookie or apikey of the user, and no other key."""
    _shows(project, host, has_key=key is not None)
    project.answers[KEY] = (200, f'"{key}"')
    host.pieces = [b'{"data": []}']
    assert (await _probe(project)).status == 200
    (received,) = host.received
    assert received.headers.get("authorization") == (f"Bearer {key}" if key else None)
    assert set(received.headers) <= {"host", "accept", "accept-encoding", "user-agent", "authorization"}


@pytest.mark.parametrize("node", ["x", "7x", "-7", "1" * 19, "\u0667", "7%20", "7,8"])
async def test_what_is_no_number_is_not_found(project: Project, node: str) -> None:
    """An id that is no number is not part of a query."""
    assert _code(await _probe(project, node)) == (404, "not_found")
    assert project.asked == []


@pytest.mark.parametrize(
    ("owner_id", "claims", "status"),
    [
        (PERSON_ID, {}, 200),
        ("99999999-2222-4333-8444-555555555555", {}, 404),
        ("99999999-2222-4333-8444-555555555555", ADMIN, 404),
        (None, {}, 404),
        (None, {"user_metadata": {"role": "admin"}}, 404),
        (None, ADMIN, 200),
    ],
)
async def test_a_node_is_probed_by_its_owner(
    project: Project, host: OpenAiHost, owner_id: str | None, claims: dict[str, Any], status: int
) -> None:
    """Admins probe project nodes; a user who only sees a shared node gets 404 without a call."""
    _shows(project, host, owner_id=owner_id)
    host.pieces = [b'{"data": []}']
    assert (await _probe(project, **claims)).status == status
    assert len(host.received) == (status == 200)


@pytest.mark.parametrize(
    "failing",
    [
        {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
        {"status": 401, "pieces": [b"secret words"]},
        {"status": 500},
        {"pieces": [b"<html>"]},
        {"pieces": [b'{"data": 5}']},
        {"pieces": [b'{"data": ['], "ending": "cut"},
        {"headers": {"Content-Encoding": "gzip"}, "pieces": [b"x"]},
        {"ending": "hold"},
    ],
    ids=str,
)
async def test_every_way_a_node_fails_looks_the_same(
    project: Project, host: OpenAiHost, monkeypatch: pytest.MonkeyPatch, failing: dict[str, Any]
) -> None:
    """One code and one message; nothing is stored."""
    monkeypatch.setattr(nodes, "_LIST_SECONDS", 0.3)
    _shows(project, host)
    for name, value in failing.items():
        setattr(host, name, value)
    got = await _probe(project)
    assert _code(got) == (503, "node_failed")
    words = "The client node could not be reached or did not answer as expected."
    assert (got.json()["error"]["message"], got.json()["error"]["metadata"]) == (words, {})
    assert [each.path for each in project.asked] == [NODES]
