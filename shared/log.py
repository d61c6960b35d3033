"""The log: one JSON line per event on stdout; never content, tokens, keys or SQL parameters.

The one exception is the redacted record of a turn that neither the database nor the spool could store.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

_MAX_MESSAGE = 300
_json: Final = json.JSONEncoder(default=str).encode  # json.dumps would make an encoder for each line
_ids: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("_ids", default=())


def bind_request(request_id: str) -> None:
    """Puts the HTTP request's id, and no other, into every later line of this task and of the tasks it starts."""
    _ids.set((("request_id", request_id),))


def bind_turn(request_id: str, turn_id: str) -> None:
    """The same with the turn's own id beside the HTTP request's."""
    _ids.set((("request_id", request_id), ("turn_id", turn_id)))


def log(event: str, **fields: Any) -> None:
    """Writes one line with the bound ids; `fields` are outcomes, timings and further ids."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"at": now, "event": event} | dict(_ids.get()) | fields
    sys.stdout.write(_json(line) + "\n")
    sys.stdout.flush()


def origin_of(error: BaseException) -> str:
    """The class and place of a crash, without its message, which may contain content."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} at {place}"


class _Lines(logging.Handler):
    """Writes the server's records as lines of this log, without tracebacks, which may contain content."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        message = record.getMessage()[:_MAX_MESSAGE]
        log("server", level=record.levelname.lower(), message=message, error=error.__name__ if error else None)


def take_over_server_log() -> None:
    """Makes uvicorn write its warnings and errors as lines of this log."""
    server = logging.getLogger("uvicorn")
    server.handlers, server.propagate = [_Lines(logging.WARNING)], False
