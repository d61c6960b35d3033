"""Client nodes over real HTTP and SQL: where they may live, who knows their key, and what a probe of them does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.fakes.providers import Received, Upstream
from tests.stack.conftest import Models
from tests.stack.people import Person, Stack, connect, new_admin, service

Database = psycopg.Connection[dict[str, Any]]
REFUSAL = (
    "A client node is reached over https, on port 443 or 8443, at a public name or address, without credentials in its "
    "URL."
)
FINE = [
    "https://node.example.com/v1",
    "https://node.example.com",
    "https://node.example.com:8443/v1/",
    "https://node.example.com:443/a/@b/~c",
    "https://NODE.Example.com/v1",
    "https://xn--bcher-kva.example/v1",
    "https://my_host.1x.example/v1",
    "https://8.8.8.8/v1",
    "https://172.32.0.1/v1",
    "https://100.128.0.1/v1",
    "https://[2606:4700:4700::1111]:8443/v1",
    "https://[2A00:1450::1]/v1",
    "https://localhost.example.com/v1",
    "https://internal.example.com/v1",
]
# Fine on a laptop, and nowhere else.
PRIVATE = [
    "http://node.example.com/v1",
    "https://node.example.com:8080/v1",
    "https://node.example.com:80/v1",
    "http://localhost:11434/v1",
    "http://127.0.0.1:8000/v1",
    "http://host.docker.internal:1234/v1",
    "http://ollama:11434/v1",
    "https://localhost/v1",
    "https://a.localhost/v1",
    "https://printer.local/v1",
    "https://vault.internal/v1",
    "https://VAULT.INTERNAL/v1",
    "https://intranet/v1",
    "https://0.0.0.0/v1",
    "https://10.1.2.3/v1",
    "https://100.64.0.1/v1",
    "https://127.0.0.1/v1",
    "https://127.255.255.254/v1",
    "https://172.16.0.1/v1",
    "https://172.31.255.255/v1",
    "https://192.0.2.1/v1",
    "https://192.168.1.1/v1",
    "https://198.18.0.1/v1",
    "https://198.51.100.1/v1",
    "https://203.0.113.1/v1",
    "https://224.0.0.1/v1",
    "https://240.0.0.1/v1",
    "https://255.255.255.255/v1",
    "https://[::1]/v1",
    "https://[::]/v1",
    "https://[fc00::1]/v1",
    "https://[fd12:3456::1]/v1",
    "https://[ff02::1]/v1",
    "https://[2001:db8::1]/v1",
    "https://[3fff::1]/v1",
    "https://[4000::1]/v1",
]
NEVER = [
    "ftp://node.example.com/v1",
    "https:node.example.com",
    "https:///v1",
    "https://:443/v1",
    "https://?x",
    "https://user@node.example.com/v1",
    "https://user:secret@node.example.com/v1",
    "https://node.example.com@127.0.0.1/v1",
    "https://@node.example.com/v1",
    "https://node.example.com\\@127.0.0.1/v1",
    "https://node.example.com\\.evil.example/v1",
    "https://node.example.com/v 1",
    "https://node.example.com/v1\n",
    "https://node.example.com/\tv1",
    "https://node.example.com/v1\x7f",
    " https://node.example.com/v1",
    "https://node.example.com/v1?x=1",
    "https://node.example.com/v1#x",
    "https://node.example.com:/v1",
    "https://node.example.com:0/v1",
    "https://node.example.com:0443/v1",
    "https://node.example.com:65536/v1",
    "https://node.example.com:443:443/v1",
    "https://node.example.com./v1",
    "https://node..example.com/v1",
    "https://.example.com/v1",
    "https://-x.example.com/v1",
    "https://%6eode.example.com/v1",
    "https://bücher.example/v1",
    "https://\uff11\uff12\uff17.0.0.1/v1",
    "https://127\u30020\u30020\u30021/v1",
    "https://" + "a" * 64 + ".example.com/v1",
    "https://2130706433/v1",
    "https://0x7f000001/v1",
    "https://0x7f.1/v1",
    "https://0177.0.0.1/v1",
    "https://127.1/v1",
    "https://127.0.1/v1",
    "https://1.2.3.4.5/v1",
    "https://127.0.0.01/v1",
    "https://256.0.0.1/v1",
    "https://127.0.0.1./v1",
    "https://node.0x7f/v1",
    "https://169.254.169.254/v1",
    "https://168.63.129.16/v1",
    "https://metadata.google.internal/v1",
    "https://[::ffff:127.0.0.1]/v1",
    "https://[::ffff:8.8.8.8]/v1",
    "https://[::ffff:a9fe:a9fe]/v1",
    "https://[64:ff9b::7f00:1]/v1",
    "https://[2002:7f00:1::]/v1",
    "https://[2001:0:7f00:1::]/v1",
    "https://[fe80::1]/v1",
    "https://[fe80::1%25eth0]/v1",
    "https://[fd00:ec2::254]/v1",
    "https://[1::2::3]/v1",
    "https://[127.0.0.1]/v1",
    "https://[8.8.8.8]/v1",
    "https://[::1/v1",
    "https://[]/v1",
]


@contextmanager
def _as_person(stack: Stack, person: Person, *, is_private_fine: bool) -> Iterator[Database]:
    """A transaction as this person with that setting, of which nothing is left afterwards."""
    with connect(stack) as connection, connection.transaction(force_rollback=True):
        setting = "on" if is_private_fine else "off"
        connection.execute("update private.settings set value = %s where name = 'allow_private_nodes'", [setting])
        claims = Jsonb({"sub": person.id, "role": "authenticated"})
        connection.execute("select set_config('request.jwt.claims', %s::jsonb::text, true)", [claims])
        connection.execute("set local role authenticated")
        yield connection


def _refusal(connection: Database, statement: str, url: str) -> tuple[str | None, str | None] | None:
    """SQLSTATE and message with which a statement was refused; None when it was not. It is undone in any case."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement, [url])
    except psycopg.Error as error:
        return error.sqlstate, error.diag.message_primary
    return None


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


@pytest.mark.parametrize(
    ("is_private_fine", "fine", "forbidden"), [(False, FINE, PRIVATE + NEVER), (True, FINE + PRIVATE, NEVER)]
)
def test_a_node_lives_only_where_it_may(
    alice: Person, is_private_fine: bool, fine: list[str], forbidden: list[str]
) -> None:
    """Registering and moving are refused with one message whatever is wrong; a laptop may allow its own network."""
    insert = "insert into public.client_nodes (name, base_url) values ('n', %s)"
    update = "update public.client_nodes set base_url = %s where name = 'first'"
    with _as_person(alice.stack, alice, is_private_fine=is_private_fine) as connection:
        connection.execute("insert into public.client_nodes (name, base_url) values ('first', 'https://node.example')")
        for statement in (insert, update):
            assert {url: _refusal(connection, statement, url) for url in fine} == dict.fromkeys(fine)
            payload = {url: _refusal(connection, statement, url) for url in forbidden}
            assert payload == dict.fromkeys(forbidden, ("PT422", REFUSAL))


def test_no_role_is_above_it(stack: Stack, alice: Person, db: Database) -> None:
    """Over HTTP it is a 422 with its code; the owner of the database is refused as well."""
    refused = alice.rest("POST", "client_nodes", json={"name": "n", "base_url": "https://a:b@node.example/v1"})
    assert (refused.status_code, refused.json()["message"]) == (422, REFUSAL)
    assert '"validation_failed"' in refused.json()["details"]
    with pytest.raises(psycopg.Error, match="A client node is reached"):
        db.execute("insert into public.client_nodes (owner_id, name, base_url) values (null, 'n', 'https://127.1')")
    with connect(stack) as connection, connection.transaction(force_rollback=True):
        connection.execute("delete from private.settings")
        with pytest.raises(psycopg.Error, match="A client node is reached"):
            connection.execute("insert into public.client_nodes (name, base_url) values ('n', 'http://127.0.0.1/v1')")


def test_only_the_service_reads_a_key(stack: Stack, alice: Person, bob: Person, db: Database) -> None:
    """Its owner sets, changes and removes it, and sees no more than that there is one."""
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
    """It is 422, and the answer does not repeat it; the earlier key stays."""
    node = _registered(alice)
    _set_key(alice, node, "sk-earlier")
    answer = _set_key(alice, node, key)
    assert answer.status_code == 422
    assert "Evil" not in answer.text
    assert _key(stack, node) == "sk-earlier"


def test_a_node_that_moves_forgets_its_key(stack: Stack, alice: Person, db: Database) -> None:
    """Another URL drops it, everything else keeps it, and a node that is deleted takes it along."""
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
    """The node's models are stored, answered, and serve its owner's next turn; a stranger's turn goes elsewhere."""
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
    """Neither a probe nor a turn hands it the caller's token, cookie or apikey; the answers do not show its key."""
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
    """Offline, nothing of the kind at that address, or a key it does not take: the same words, and nothing changes."""
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
    """Not even for the service."""
    node = _registered(alice)
    answer = service(stack, "POST", "rpc/store_node_models", json={"node_id": node, "models": models})
    assert answer.status_code == 422, answer.text


def test_of_what_a_node_says_only_what_counts_is_stored(stack: Stack, alice: Person) -> None:
    """No price, no capability of a wrong type, no name that turns the text around it; and no node, no row."""
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
    """A node's name and its model, for all who read the answer; when the node is gone, so is its name."""
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
