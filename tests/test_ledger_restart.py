"""PostgreSQL is restarted under the ledger's connections."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import baseline, migrations, postgres
from shared.errors import DatabaseUnavailable
from shared.ledger_connection import Connections
from tests.stack.turns import entry_of, turn_of
from tests.stack_process import free_ports

pytestmark = pytest.mark.processes


@pytest.fixture
def data_and_port() -> Iterator[tuple[Path, int]]:
    """A migrated database of this test's own, whose role may log in."""
    folder, port = Path(tempfile.mkdtemp(prefix="parley-restart-")), free_ports()
    folder.chmod(0o755)
    postgres.start(folder / "data", port)
    postgres.prepare_database(port, "ledger")
    migrations.apply(postgres.dsn(port, dbname="ledger"), baseline.MIGRATIONS)
    yield folder / "data", port
    postgres.stop(folder / "data")
    shutil.rmtree(folder)


@pytest.mark.anyio
async def test_a_restart_between_begin_and_finish_costs_neither_the_row_nor_the_money(
    data_and_port: tuple[Path, int],
) -> None:
    """While the server is down a call fails at once; afterwards the turn is booked once and the next one begins."""
    data, port = data_and_port
    user = str(uuid.uuid4())
    with psycopg.connect(postgres.dsn(port, dbname="ledger"), autocommit=True) as db:
        db.execute("alter role parley_ledger login")
        db.execute("insert into auth.users (id, email) values (%s, 'ada@example.com')", [user])
        db.execute(
            "insert into public.llm_models (model_key, model_name, provider, upstream_id, pricing) "
            """values ('m', 'm', 'openai', 'm', '{"input": 1, "output": 2}')"""
        )
    claims = f'{{"sub": "{user}", "role": "authenticated"}}'
    connections = Connections(postgres.dsn(port, "parley_ledger", "ledger"))

    async def begin() -> dict[str, Any]:
        turn = turn_of("openai:m")
        begun = await connections.call("chat_begin", {"turn": turn}, claims, 5)
        assert begun["outcome"] == "new"
        return turn

    async def finish(turn: dict[str, Any]) -> str:
        booked = await connections.call("chat_finish", {"entry": entry_of(turn)}, '{"role": "service_role"}', 5)
        outcome: str = booked["outcome"]
        return outcome

    first = await begin()
    postgres.stop(data)
    with pytest.raises(DatabaseUnavailable):
        await begin()
    postgres.start(data, port)
    assert await finish(first) == "settled"
    postgres.stop(data)
    postgres.start(data, port)
    second = await begin()
    assert [await finish(turn) for turn in (first, second)] == ["duplicate", "settled"]
    await connections.close()
    with psycopg.connect(postgres.dsn(port, dbname="ledger")) as db:
        row = db.execute("select count(*), sum(cost_usd)::text from public.chat_logs where user_id = %s", [user])
        assert row.fetchone() == (2, "0.004000000")
        held = db.execute("select distinct requests, spent_usd::text, reserved_usd::text from public.usage_counters")
        assert held.fetchall() == [(2, "0.004000000", "0.000000000")]
