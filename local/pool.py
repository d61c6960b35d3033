"""A connection pool that detects a stopped PostgreSQL and a changed schema before it lends a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

_CHANNEL = "pgrst"  # Supabase's event triggers and `notify pgrst, 'reload schema'` in migrations send here
_RECONNECT_SECONDS = 2.0  # then the next request retries; the pool's own backoff would grow to minutes


class Pool(AsyncConnectionPool[Any]):
    """Opened by `async with`. Calls `on_schema_change` after DDL and for every new connection."""

    def __init__(self, dsn: str, size: int) -> None:
        self.on_schema_change: Callable[[], None] = lambda: None
        options: dict[str, Any] = {
            "autocommit": True,
            # Raw cursors send parameters as untyped text, as PostgREST does, so PostgreSQL casts them itself.
            "cursor_factory": psycopg.AsyncRawCursor,
            # After an error in a pipeline psycopg counts skipped statements as prepared (3.3.9).
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
        """Reads notifications, or the end of the connection, without a query to the server."""
        try:
            connection.pgconn.consume_input()
            connection.pgconn.consume_input()  # the server's last message and the end of the connection are two reads
        except psycopg.OperationalError:
            await self.check()  # the other connections are broken too, so all are replaced
            raise
        while connection.pgconn.notifies():
            self.on_schema_change()
