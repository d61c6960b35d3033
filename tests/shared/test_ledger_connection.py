"""Connections of our own: how they are made and verified. `tests/stack/test_lost_connections.py` loses them."""

from __future__ import annotations

import json
from pathlib import Path

import certifi
import pytest

from shared.errors import DatabaseUnavailable
from shared.ledger_connection import Connections, connection_parameters
from tests.fakes.tls_server import serving_tls, write_certificate

_REMOTE = "postgresql://parley_ledger:p%40ss@db.example.com:6543/postgres"


@pytest.mark.parametrize(("query", "root"), [("", certifi.where()), ("?sslrootcert=/etc/ca.pem", "/etc/ca.pem")])
def test_another_machine_is_verified_by_certificate_and_name(query: str, root: str) -> None:
    """Public authorities sign its certificate, or the authority in the file that the address names."""
    found = connection_parameters(_REMOTE + query)
    assert (found["sslmode"], found["sslrootcert"], found["password"]) == ("verify-full", root, "p@ss")


def test_nothing_of_a_session_is_used() -> None:
    """Every statement is its own transaction and has no name, so that a pooler may stand between."""
    found = connection_parameters(_REMOTE)
    assert (found["autocommit"], found["prepare_threshold"]) == (True, None)
    assert "options" not in found


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_may_be_plain(host: str) -> None:
    """A local PostgreSQL has no certificate."""
    assert connection_parameters(f"postgresql://parley_ledger@{host}:5432/postgres").get("sslmode") is None


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "authority", "is_accepted"),
    [("localhost", "localhost", True), ("localhost", "other", False), ("127.0.0.1", "localhost", False)],
    ids=["right", "unknown authority", "wrong name"],
)
async def test_a_server_that_cannot_prove_its_name_gets_no_word(
    tmp_path: Path, host: str, authority: str, is_accepted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The role's name and password go to a server with the right certificate only; the log says why, no password."""
    files = {name: write_certificate(tmp_path, name) for name in ("localhost", "other")}
    async with serving_tls(files["localhost"]) as server:
        url = f"postgresql://parley_ledger:hush@{host}:{server.port}/postgres?sslmode=verify-full&sslrootcert="
        with pytest.raises(DatabaseUnavailable):
            await Connections(url + str(files[authority])).check(5)
    assert bool(server.started) is is_accepted
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["event"] for line in lines} == {"ledger_connection_failed"}
    assert "hush" not in json.dumps(lines)
    if not is_accepted:
        assert "certificate" in lines[0]["reason"]
