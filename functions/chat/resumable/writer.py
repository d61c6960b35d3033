"""Keeps the stream of a turn in pieces, beside the turn: no event waits for the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from functions.chat.resumable import pieces
from functions.chat.streams.ui import UiStream
from shared.errors import ParleyError
from shared.events import PIECES, Reasoning, Text
from shared.log import log
from shared.run_turn import TurnEvent
from shared.turns import Turn

PIECE_SECONDS: Final = 0.3
PIECE_CHARACTERS: Final = 1_000
BEAT_SECONDS: Final = 0.5
"""Silence after which an empty piece renews the lease and asks whether the turn was stopped."""

_LAST_TRIES: Final = 3
_MAX_FRAMES: Final = 1_000_000  # characters of one statement
_OTHER_EVENT: Final = 200  # characters that an event without text counts


class PieceWriter:
    """Takes a turn's events and keeps them as frames; calls `stop` when the turn may not go on."""

    def __init__(self, turn: Turn, stop: Callable[[], None]) -> None:
        self._turn, self._stop = turn, stop
        self._encoder = UiStream(turn)
        self._events: list[TurnEvent] = []
        self._characters = 0
        self._due = asyncio.Event()
        self._frames = ""  # encoded, and in no statement yet
        self._part = ""  # of the latest statement, until its answer: a repeated statement has the same part
        self._is_last_part = False
        self._place = 0
        self._has_begun = self._is_ended = self._is_closed = False

    def add(self, event: TurnEvent) -> None:
        """Takes an event; returns at once."""
        self._events.append(event)
        self._characters += len(event.text) if isinstance(event, PIECES) else _OTHER_EVENT
        if self._characters >= PIECE_CHARACTERS:
            self._due.set()

    def end(self) -> None:
        """No event follows; the last piece is due."""
        self._is_ended = True
        self._due.set()

    async def run(self) -> None:
        """Keeps pieces until the last one is kept; after three failures at the end it gives up."""
        silent_seconds, failures = 0.0, 0
        while not self._is_closed and failures < _LAST_TRIES:
            await self._wait()
            is_last = self._is_ended
            self._encode()
            silent_seconds += PIECE_SECONDS
            if not (self._part or self._frames or is_last or silent_seconds > BEAT_SECONDS):
                continue
            silent_seconds = 0.0
            if await self._keep(is_last=is_last):
                if is_last:
                    return
            elif is_last:
                failures += 1
                await asyncio.sleep(PIECE_SECONDS)

    async def _wait(self) -> None:
        """Returns after 300 ms, at 1 KB, or at the end."""
        if not self._due.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PIECE_SECONDS):
                    await self._due.wait()
        if not self._is_ended:
            self._due.clear()

    def _encode(self) -> None:
        events, self._events, self._characters = self._events, [], 0
        frames = b"".join([self._encoder.encode(event) for event in _merged(events)])
        if frames and not self._has_begun:
            self._has_begun = True
            frames = self._encoder.begin() + frames
        self._frames += frames.decode().replace("\\u0000", "\\ufffd")

    async def _keep(self, *, is_last: bool) -> bool:
        """Whether all frames are kept. Without frames it is a beat, or the end of the stream."""
        while not self._is_closed:
            if not self._part:
                self._part, self._frames = self._frames[:_MAX_FRAMES], self._frames[_MAX_FRAMES:]
                self._is_last_part = is_last and not self._frames
            try:
                outcome = await pieces.keep(self._turn, self._place + 1, self._part, is_last=self._is_last_part)
            except ParleyError as error:
                log("piece_not_kept", error=error.code)
                return False
            self._place += bool(self._part)
            self._part, is_done = "", self._is_last_part or not (is_last or self._frames)
            if outcome != "kept":
                self._is_closed = outcome == "closed"
                self._stop()
            if is_done:
                break
        return True


def _merged(events: list[TurnEvent]) -> Iterator[TurnEvent]:
    """The events, with successive pieces of one kind of text as one."""
    kind: type[Text | Reasoning] = Text
    texts: list[str] = []
    for event in events:
        if isinstance(event, PIECES) and (type(event) is kind or not texts):
            kind = type(event)
            texts.append(event.text)
            continue
        if texts:
            yield kind("".join(texts))
            texts = []
        if isinstance(event, PIECES):
            kind, texts = type(event), [event.text]
        else:
            yield event
    if texts:
        yield kind("".join(texts))
