"""Resumable turns of tests: their requests, their readers and what is stored of them."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import httpx

from tests.fakes.providers import Script
from tests.stack.people import Person, eventually
from tests.stack.turns import Database

WORDS = tuple(f"word{n} " for n in range(40))
PACED = Script(WORDS, pause_seconds=0.02)


class Reader:
    """A stream that is read in a thread of its own; `close` drops its connection."""

    def __init__(self, person: Person, method: str, url: str, body: dict[str, Any] | None = None) -> None:
        self.text = ""
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(person, method, url, body), daemon=True)
        self._thread.start()

    def _read(self, person: Person, method: str, url: str, body: dict[str, Any] | None) -> None:
        with (
            contextlib.suppress(httpx.TransportError),  # the instance was killed
            httpx.stream(method, url, json=body, headers=person.headers, timeout=60) as response,
        ):
            for piece in response.iter_text():
                self.text += piece
                if self._leave.is_set():
                    return

    def until(self, text: str) -> None:
        """Waits until the stream has this text."""
        eventually(lambda: text in self.text)

    def close(self) -> None:
        """Drops the connection at the next piece."""
        self._leave.set()

    def end(self) -> str:
        """The whole stream, after its end."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.text


def question(chat_id: str, model: str, text: str = "Tell me.", **fields: Any) -> dict[str, Any]:
    """A request for a resumable turn."""
    return {"id": chat_id, "message": text, "model": model, "resumable": True} | fields


def answers_of(db: Database, person: Person) -> list[dict[str, Any]]:
    """The stored answers of a user, each with its log row, oldest first."""
    return db.execute(
        """select m.content, m.status, l.status as logged, l.cost_usd, m.turn_id from public.messages as m
           left join public.chat_logs as l on l.turn_id = m.turn_id
           where m.role = 'assistant' and m.conversation_id in (
             select id from public.llm_conversations where user_id = %s) order by m.created_at""",
        [person.id],
    ).fetchall()
