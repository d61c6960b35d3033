"""Serves an ASGI app with uvicorn, and closes connections that do not send the head of a request in time.

uvicorn closes an idle connection, but waits for ever for the rest of a head; in the cloud the host's proxy has a
deadline. `python -m local.serve PORT` serves a function.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from local.ports import HOST

HEAD_SECONDS = 20.0
_KEEP_ALIVE_SECONDS = 75  # longer than clients and proxies keep an idle connection


class TimedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, where each head has HEAD_SECONDS from its first byte, and the first one from the connection.

    The time of a body and of an answer is the function's own matter.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time of the first head."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Starts the time of a further head with its first byte."""
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._start()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Ends the time."""
        self._stop()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the time."""
        self._stop()
        super().connection_lost(exc)

    def _start(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._expire)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        self.transport.close()


def serve(app: Any, port: int, grace_seconds: int) -> None:
    """Serves an app, or the one of that import string, until SIGTERM and at most `grace_seconds` longer."""
    uvicorn.run(
        app,
        host=HOST,
        port=port,
        http=TimedProtocol,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        lifespan="on",  # `auto` hides an import error of main.py
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=grace_seconds,
    )


if __name__ == "__main__":
    serve("functions_framework.aio:app", int(sys.argv[1]), grace_seconds=3)
