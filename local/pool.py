"""Connections to one database that notice, before they are used, that PostgreSQL ended or the schema changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

_CHANNEL = "pgrst"  # where Supabase's event triggers, and `notify pgrst, 'reload schema'` in migrations, speak
_RECONNECT_SECONDS = 2.0  # then the next request tries anew; the pool's own pauses would grow up to minutes


class Pool(AsyncConnectionPool[Any]):
    """Opened by `async with`. `on_schema_change` is called after DDL and for every new connection."""

    def __init__(self, dsn: str, size: int) -> None:
        self.on_schema_change: Callable[[], None] = lambda: None
        options: dict[str, Any] = {
            "autocommit": True,
            # Raw cursors send parameters as untyped text, as PostgREST does, so PostgreSQL casts them itself.
            "cursor_factory": psycopg.AsyncRawCursor,
            # A pipeline that fails skips the preparing of what follows, and psycopg believes it was done (3.3.9).
            "prepare_threshold": None,
        }
        super().__init__(
            dsn,
            min_size=2,
            max_size=size,
            kwargs=options,
            configure=self._listen,
            check=self._check_connection,
            reconnect_timeout=_RECONNECT_SECONDS,
            open=False,
        )

    async def _listen(self, connection: psycopg.AsyncConnection[Any]) -> None:
        connection.add_notify_handler(lambda _: self.on_schema_change())
        await connection.execute(f"listen {_CHANNEL}".encode())
        self.on_schema_change()

    async def _check_connection(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Reads what the server sent meanwhile, without asking it: notifications, or that it has gone."""
        try:
            connection.pgconn.consume_input()
            connection.pgconn.consume_input()  # behind a server's last words comes its end, in a read of its own
        except psycopg.OperationalError:
            await self.check()  # the others have gone too: do not fail on each of them in turn
            raise
        while connection.pgconn.notifies():
            self.on_schema_change()
