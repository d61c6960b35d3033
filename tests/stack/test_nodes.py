"""Client nodes over real HTTP and SQL: addresses, keys and probes."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.fakes.providers import Received, Upstream
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, new_admin, service
from tests.stack.turns import Database


def _registered(person: Person, url: str = "https://node.example/v1", **fields: Any) -> int:
    made = person.rest(
        "POST",
        "client_nodes",
        json={"name": "mine", "base_url": url} | fields,
        headers={"Prefer": "return=representation"},
    )
    assert made.status_code == 201, made.text
    return int(made.json()[0]["id"])


def _set_key(person: Person, node: int, key: str | None) -> httpx.Response:
    return person.rest("POST", "rpc/set_node_key", json={"node_id": node, "api_key": key})


def _key(stack: Stack, node: int) -> Any:
    rows = service(stack, "GET", f"client_nodes?id=eq.{node}&select=base_url").json()
    asked = {"node_id": node, "base_url": rows[0]["base_url"] if rows else ""}
    return service(stack, "POST", "rpc/node_key", json=asked).json()


def _has_key(person: Person, node: int) -> bool:
    return bool(person.rows(f"client_nodes?id=eq.{node}&select=has_key")[0]["has_key"])


def _probe(person: Person, node: int | str, **headers: str) -> httpx.Response:
    url = f"{person.stack['LLMS_URL']}/nodes/{node}/probe"
    return httpx.post(url, headers=person.headers | headers, timeout=20)


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_only_the_service_reads_a_key(stack: Stack, alice: Person, bob: Person, db: Database) -> None:
    """The node's owner sets, changes and removes the key, and sees only whether there is one."""
    node, admin = _registered(alice, is_shared=True), new_admin(stack)
    assert (_has_key(alice, node), _key(stack, node)) == (False, None)
    for key in ("sk-first", "sk-secret-" + "x" * 490):
        answer = _set_key(alice, node, key)
        assert (answer.status_code, answer.text) == (204, "")
        assert (_has_key(alice, node), _key(stack, node)) == (True, key)
    for person in (alice, bob, admin):
        assert person.rest("POST", "rpc/node_key", json={"node_id": node, "base_url": "x"}).status_code == 403
        assert "sk-secret" not in person.rest("GET", f"client_nodes?id=eq.{node}").text
        for headers in ({}, {"Accept-Profile": "private"}):
            assert person.rest("GET", "client_node_keys", headers=headers).is_error
    held = db.execute(
        """select r.role from unnest(array['anon', 'authenticated', 'service_role']) as r (role)
           where has_any_column_privilege(r.role, 'private.client_node_keys', 'select, insert, update')
             or has_table_privilege(r.role, 'private.client_node_keys', 'select, insert, update, delete')"""
    ).fetchall()
    assert held == []
    for nothing in ("", None):
        _set_key(alice, node, "sk-again")
        assert _set_key(alice, node, nothing).status_code == 204
        assert (_has_key(alice, node), _key(stack, node)) == (False, None)


def test_a_stranger_cannot_tell_whether_a_node_is_there(stack: Stack, alice: Person, bob: Person) -> None:
    """Setting a key of another user's node, shared or not, is the same 404 as of one that does not exist."""
    admin = new_admin(stack)
    for node in (_registered(alice), _registered(alice, is_shared=True), 999_999_999):
        for person in (bob, admin):
            answer = _set_key(person, node, "sk-forged")
            assert (answer.status_code, answer.json()["message"]) == (404, "There is no such client node.")
            assert _code(_probe(person, node)) == (404, "not_found")
        assert _key(stack, node) is None


@pytest.mark.parametrize("key", ["two words", "x\r\nX-Evil: 1", "schlüssel", "x" * 501, "\x7f"])
def test_a_key_that_cannot_travel_is_refused(stack: Stack, alice: Person, key: str) -> None:
    """An invalid key is a 422 that does not repeat it; the earlier key stays."""
    node = _registered(alice)
    _set_key(alice, node, "sk-earlier")
    answer = _set_key(alice, node, key)
    assert answer.status_code == 422
    assert "Evil" not in answer.text
    assert _key(stack, node) == "sk-earlier"


def test_a_node_that_moves_forgets_its_key(stack: Stack, alice: Person, db: Database) -> None:
    """A new URL deletes the key, other changes keep it, and deleting the node deletes it."""
    node = _registered(alice)
    _set_key(alice, node, "sk-mine")
    path = f"client_nodes?id=eq.{node}"
    for same in ({"name": "other"}, {"base_url": "https://node.example/v1", "may_use_tools": True}):
        assert alice.rest("PATCH", path, json=same).status_code == 204
        assert (_has_key(alice, node), _key(stack, node)) == (True, "sk-mine")
    assert alice.rest("PATCH", path, json={"base_url": "https://elsewhere.example/v1"}).status_code == 204
    assert (_has_key(alice, node), _key(stack, node)) == (False, None)
    _set_key(alice, node, "sk-again")
    assert alice.rest("DELETE", path).status_code == 204
    left = db.execute("select from private.client_node_keys where node_id = %s", [node]).fetchall()
    assert left == []


def test_an_admin_keeps_the_projects_own_nodes(stack: Stack, alice: Person, db: Database, upstream: Upstream) -> None:
    """For a node without an owner, only an admin may set a key and probe."""
    row = db.execute(
        """insert into public.client_nodes (owner_id, name, base_url, is_shared)
           values (null, 'ours', %s, true) returning id""",
        [upstream.url("client")],
    ).fetchone()
    assert row is not None
    node, admin = int(row["id"]), new_admin(stack)
    try:
        assert _set_key(alice, node, "sk-forged").status_code == 404
        assert _code(_probe(alice, node)) == (404, "not_found")
        assert _set_key(admin, node, "sk-project").status_code == 204
        assert _probe(admin, node).status_code == 200
    finally:
        db.execute("delete from public.client_nodes where id = %s", [node])
    assert upstream.received[-1].headers["authorization"] == "Bearer sk-project"


def test_what_a_probe_finds_can_be_chosen(alice: Person, bob: Person, upstream: Upstream) -> None:
    """The probe stores and returns the models; the owner's next turn can use them, another user's cannot."""
    node = _registered(alice, upstream.url("client"))
    answer = _probe(alice, node)
    assert answer.status_code == 200, answer.text
    models = [{"id": name, "capabilities": {"context_window": 8192}} for name in ("echo", "endless")]
    stored = alice.rows(f"client_nodes?id=eq.{node}&select=id,models,last_seen_at")[0]
    assert answer.json() == stored == {"id": node, "models": models, "last_seen_at": stored["last_seen_at"]}
    assert stored["last_seen_at"] is not None
    turn = alice.whole("hello", model=f"client:{node}:echo")
    assert turn["receipt"]["route"]["node_id"] == node
    missing = bob.ask({"message": "hello", "model": f"client:{node}:echo", "strict_model": True})
    assert _code(missing) == (404, "model_not_found")


def test_a_node_gets_its_own_key_and_nothing_of_ours(alice: Person, upstream: Upstream) -> None:
    """A probe and a turn send no token, cookie or apikey of the user; no response contains the node's key."""
    node = _registered(alice, upstream.url("client"))
    for authorization in (None, "Bearer sk-of-this-node"):
        if authorization:
            _set_key(alice, node, "sk-of-this-node")
        before = len(upstream.received)
        probed = _probe(alice, node, cookie="a=b", apikey=alice.stack["SUPABASE_ANON_KEY"])
        asked = alice.ask({"message": "hello", "model": f"client:{node}:echo"}, cookie="a=b", apikey="x")
        assert "sk-of-this-node" not in probed.text + asked.text
        received: list[Received] = upstream.received[before:]
        assert [each.path.rsplit("/", 1)[-1] for each in received] == ["models", "completions"]
        for each in received:
            assert each.headers.get("authorization") == authorization
            assert not {"cookie", "apikey", "x-request-id", "x-client-info"} & set(each.headers)
            assert alice.token not in str(each)


def test_a_node_that_does_not_answer_is_503_at_once(alice: Person, upstream: Upstream) -> None:
    """An offline node, another server and a rejected key give the same error and change nothing."""
    content = set()
    for url in ("http://127.0.0.1:9/v1", upstream.url("client") + "/nothing", upstream.url("client")):
        node = _registered(alice, url)
        _set_key(alice, node, "bad-key")
        answer = _probe(alice, node)
        assert _code(answer) == (503, "node_failed")
        content.add(answer.json()["error"]["message"])
        assert alice.rows(f"client_nodes?id=eq.{node}&select=models,last_seen_at") == [
            {"models": [], "last_seen_at": None}
        ]
    assert len(content) == 1


def test_a_probe_closes_the_nodes_circuit(alice: Person, upstream: Upstream, db: Database) -> None:
    """A node that answers again is called again at once."""
    node = _registered(alice, upstream.url("client"))
    db.execute(
        """insert into public.provider_health (provider_key, failures, open_until, reason)
           values (%s, 5, now() + interval '1 hour', 'node_failed')""",
        [f"client:{node}"],
    )
    assert _probe(alice, node).status_code == 200
    health = db.execute(
        "delete from public.provider_health where provider_key = %s returning failures, open_until, reason",
        [f"client:{node}"],
    ).fetchone()
    assert health == {"failures": 0, "open_until": None, "reason": None}


def test_a_probe_is_for_signed_in_people(alice: Person) -> None:
    """Without a token it is 401 for every node; a path that names no number is 404."""
    node = _registered(alice)
    assert httpx.post(f"{alice.stack['LLMS_URL']}/nodes/{node}/probe").status_code == 401
    assert httpx.get(f"{alice.stack['LLMS_URL']}/nodes/{node}/probe", headers=alice.headers).status_code == 405
    for odd in ("x", "1" * 19, "1%20or", "-1"):
        assert _code(_probe(alice, odd)) == (404, "not_found")


@pytest.mark.parametrize(
    "models",
    [
        {},
        None,
        "x",
        ["x"],
        [{}],
        [{"id": 5}],
        [{"id": ""}],
        [{"id": "x" * 151}],
        [{"id": "a\nb"}],
        [{"id": "a\u202eb"}],
        [{"id": f"m{n}"} for n in range(301)],
    ],
    ids=lambda models: str(models)[:40],
)
def test_odd_models_are_not_stored(stack: Stack, alice: Person, models: Any) -> None:
    """Invalid models are refused from the service, too."""
    node = _registered(alice)
    answer = service(stack, "POST", "rpc/store_node_models", json={"node_id": node, "models": models})
    assert answer.status_code == 422, answer.text


def test_of_what_a_node_says_only_what_counts_is_stored(stack: Stack, alice: Person) -> None:
    """Prices, capabilities of a wrong type and unprintable names are not stored; an unknown node is 404."""
    capabilities = {"supports_tools": "yes", "supports_json": True, "context_window": "8", "max_output_tokens": 9}
    payload = [
        {"id": "a", "name": "A", "pricing": {"input": 0}, "owner": "x", "capabilities": capabilities},
        {"id": "b", "name": "\u202eb", "capabilities": {"context_window": -1}},
        {"id": "c", "name": None, "capabilities": []},
    ]
    node = _registered(alice)
    answer = service(stack, "POST", "rpc/store_node_models", json={"node_id": node, "models": payload})
    kept = {"supports_json": True, "max_output_tokens": 9}
    assert answer.json()["models"] == [{"id": "a", "name": "A", "capabilities": kept}, {"id": "b"}, {"id": "c"}]
    gone = service(stack, "POST", "rpc/store_node_models", json={"node_id": 999_999_999, "models": []})
    assert gone.status_code == 404


def test_a_key_is_sent_only_to_the_address_it_was_given_for(alice: Person, stack: Stack) -> None:
    """A caller that read an address before the node moved gets no key for it."""
    node = _registered(alice)
    assert _set_key(alice, node, "sk-mine").status_code == 204
    asked = {"node_id": node, "base_url": "https://elsewhere.example/v1"}
    assert service(stack, "POST", "rpc/node_key", json=asked).json() is None
    assert _key(stack, node) == "sk-mine"


def test_an_answer_says_in_words_which_model_gave_it(alice: Person, bob: Person, model: Models, db: Database) -> None:
    """All readers of an answer see its node and model; when the node is deleted, its name is removed."""
    name = model("echo")
    node = int(name.split(":")[1])
    answer = alice.whole("hi", model=name)
    assert answer["receipt"]["route"]["label"] == "scripted (echo)"
    path = f"messages?conversation_id=eq.{answer['conversation_id']}&select=role,model_label&order=created_at"
    labels = [{"role": "user", "model_label": None}, {"role": "assistant", "model_label": "scripted (echo)"}]
    assert alice.rows(path) == labels
    shown = alice.rest("POST", "rpc/ui_messages", json={"chat_id": answer["conversation_id"]}).json()
    assert [message["metadata"].get("model_label") for message in shown] == [None, "scripted (echo)"]
    assert bob.rows(path) == []
    db.execute("delete from public.client_nodes where id = %s", [node])
    assert [row["model_label"] for row in alice.rows(path)] == [None, None]
