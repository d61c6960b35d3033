"""The addresses that a client node may have, as the database checks them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.stack.people import Person, Stack, connect
from tests.stack.turns import Database

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


@pytest.mark.parametrize(
    ("is_private_fine", "fine", "forbidden"), [(False, FINE, PRIVATE + NEVER), (True, FINE + PRIVATE, NEVER)]
)
def test_a_node_lives_only_where_it_may(
    alice: Person, is_private_fine: bool, fine: list[str], forbidden: list[str]
) -> None:
    """An insert or update with a forbidden URL always gets one message; a setting allows private addresses."""
    insert = "insert into public.client_nodes (name, base_url) values ('n', %s)"
    update = "update public.client_nodes set base_url = %s where name = 'first'"
    with _as_person(alice.stack, alice, is_private_fine=is_private_fine) as connection:
        connection.execute("insert into public.client_nodes (name, base_url) values ('first', 'https://node.example')")
        for statement in (insert, update):
            assert {url: _refusal(connection, statement, url) for url in fine} == dict.fromkeys(fine)
            payload = {url: _refusal(connection, statement, url) for url in forbidden}
            assert payload == dict.fromkeys(forbidden, ("PT422", REFUSAL))


def test_no_role_is_above_it(stack: Stack, alice: Person, db: Database) -> None:
    """Over HTTP it is a 422 with its code; the rule applies to the owner of the database, too."""
    refused = alice.rest("POST", "client_nodes", json={"name": "n", "base_url": "https://a:b@node.example/v1"})
    assert (refused.status_code, refused.json()["message"]) == (422, REFUSAL)
    assert '"validation_failed"' in refused.json()["details"]
    with pytest.raises(psycopg.Error, match="A client node is reached"):
        db.execute("insert into public.client_nodes (owner_id, name, base_url) values (null, 'n', 'https://127.1')")
    with connect(stack) as connection, connection.transaction(force_rollback=True):
        connection.execute("delete from private.settings")
        with pytest.raises(psycopg.Error, match="A client node is reached"):
            connection.execute("insert into public.client_nodes (name, base_url) values ('n', 'http://127.0.0.1/v1')")
