"""Clients that read nothing: the turn's deadline ends their turns, and the cap holds."""

from __future__ import annotations

import functools
import json
import socket
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fakes.providers import Upstream
from tests.providers import named, variables
from tests.stack.caps import PRICED
from tests.stack.conftest import Models, running_function
from tests.stack.people import Person, Stack, eventually
from tests.stack.turns import QUESTION, Database, asked, reserved_usd, sweep

_ROUNDS = 2
_MAX_TOKENS = 100_000  # more text than all buffers of the connection hold


@pytest.fixture(scope="module")
def impatient_url(stack: Stack, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A chat whose turns have one second."""
    changes = variables(upstream) | {"TURN_SECONDS": "1"}
    with running_function(stack, "chat", changes, tmp_path_factory.mktemp("impatient")) as (url, _):
        yield url


def _asked_by_a_deaf_client(url: str, person: Person, model: str) -> socket.socket:
    """The connection of a client that sends a request and reads none of the answer."""
    address = urlsplit(url)
    body = json.dumps({"message": QUESTION, "model": model, "max_tokens": _MAX_TOKENS}).encode()
    head = f"POST {address.path or '/'} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n"
    fields = person.headers | {"Content-Type": "application/json"}
    head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((address.hostname, address.port))
    connection.sendall(head.encode() + b"\r\n" + body)
    return connection


def _rows(person: Person, number: int) -> list[dict[str, Any]] | None:
    """The person's log rows when there are so many."""
    found = person.rows("chat_logs")
    return found if len(found) == number else None


def test_a_client_that_reads_nothing_neither_outlives_the_deadline_nor_passes_the_cap(
    alice: Person, model: Models, db: Database, impatient_url: str, upstream: Upstream
) -> None:
    """Each turn is cancelled soon after its time; until then its reservation keeps the next one out."""
    kind = named("flood", "client")
    name = model(kind, PRICED)
    db.execute(
        """update public.llm_models set capabilities = '{"context_window": 200000, "max_output_tokens": 100000}'
           where model_key = %s""",
        [name],
    )
    held = asked(alice, name, dry_run=True, max_tokens=_MAX_TOKENS).json()["reserve_usd"]
    cap = Decimal(str(held)) * Decimal("1.5")
    db.execute("insert into public.usage_limits (scope, daily_cost_usd) values (%s, %s)", [alice.id, cap])
    for number in range(1, _ROUNDS + 1):
        with _asked_by_a_deaf_client(impatient_url, alice, name):
            eventually(lambda: reserved_usd(db, alice) > 0)
            assert asked(alice, name, max_tokens=_MAX_TOKENS).status_code == 402
            sweep(alice.stack)
            assert upstream.until_hung_up(kind, 15.0)
            rows = eventually(functools.partial(_rows, alice, number))
        assert {row["status"] for row in rows} == {"cancelled"}
        assert max(row["duration_ms"] for row in rows) < 10_000
        spent = sum(Decimal(str(row["cost_usd"])) for row in rows)
        assert 0 < spent <= cap
        assert reserved_usd(db, alice) == 0
        db.execute("update public.usage_limits set daily_cost_usd = %s where scope = %s", [cap + spent, alice.id])
        cap += spent
