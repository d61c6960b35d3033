"""Admissions whose transaction is still open, and statements that wait for a lock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.stack.people import Person, Stack, connect, eventually
from tests.stack.turns import Database


@contextmanager
def open_admission(stack: Stack, person: Person, turn: dict[str, Any]) -> Iterator[Database]:
    """The connection that has called `chat_begin` as the user, and has not committed it."""
    with connect(stack) as connection:
        connection.execute("begin")
        claims = json.dumps({"sub": person.id, "role": "authenticated"})
        connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        connection.execute("set local role authenticated")
        connection.execute("select public.chat_begin(%s)", [json.dumps(turn)])
        yield connection


def until_lock_wait(db: Database, text: str) -> None:
    """Returns when a statement with this text waits for a lock."""
    waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like %s"
    eventually(lambda: db.execute(waiting, [f"%{text}%"]).fetchone())
