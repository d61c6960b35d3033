"""Reads a running turn once for all its followers: one poll for a turn and reader (user or API key) in a process.

Each reader polls with their own rights: a removed member or a revoked key reads nothing more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from functions.chat.resumable import pieces
from functions.chat.resumable.pieces import Followed
from shared.auth import Person
from shared.errors import ParleyError, TooManyFollowers

POLL_SECONDS: Final = 0.25
MAX_POLL_SECONDS: Final = 1.0
_SLOWER: Final = 1.25  # each poll that brings nothing waits this much longer than the one before
_MAX_FAILURES: Final = 5  # polls in a row that the database may fail
MAX_OF_PERSON: Final = 64  # followers in one process
MAX_OF_PROCESS: Final = 1000
_RETRY_AFTER_SECONDS: Final = 5

_Key = tuple[asyncio.AbstractEventLoop, str | None, str, str | None]


class Watch:
    """What was read of a turn so far; `last.outcome` is "running" until it ends. Followers wait for `change`."""

    def __init__(self, person: Person, chat_id: str, first: Followed) -> None:
        self.person = person
        self.followers = 0
        self.is_unreadable = False  # the database failed too often
        self.last = first
        self._chat_id, self._turn_id = chat_id, first.turn_id
        self._texts = [first.frames] if first.frames else []
        self._length = len(first.frames)
        self._changed = asyncio.Event()
        self._polls: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.is_unreadable or self.last.outcome != "running"

    def from_text(self, number: int) -> list[str]:
        """The frames from the text of this number on; the first one is 0."""
        return self._texts[number:]

    def take_whole(self, found: Followed) -> None:
        """Takes a read from the turn's start by a further follower, which may be newer than the last poll."""
        if found.place > self.last.place:
            self._take(found, found.frames[self._length :])

    def start(self) -> None:
        """Polls until the turn ends, unless it polls already."""
        if self._polls is None and not self.is_over:
            self._polls = asyncio.create_task(self._run())

    def stop(self) -> None:
        """Ends the polls."""
        if self._polls is not None:
            self._polls.cancel()

    async def change(self) -> None:
        """Returns when something new was read."""
        await self._changed.wait()

    async def _run(self) -> None:
        """Polls; whatever ends the polls, no follower waits for ever."""
        try:
            await self._poll()
        finally:
            if not self.is_over:
                self.is_unreadable = True
                self._tell()

    async def _poll(self) -> None:
        failures, seconds = 0, POLL_SECONDS
        while not self.is_over:
            await asyncio.sleep(seconds)
            place = self.last.place
            try:
                found = await pieces.follow(self.person, self._chat_id, self._turn_id, place)
            except ParleyError:
                failures += 1
                if failures == _MAX_FAILURES:
                    return
                continue
            failures = 0
            seconds = POLL_SECONDS if found.frames else min(seconds * _SLOWER, MAX_POLL_SECONDS)
            if self.last.place == place:  # else a further follower read these pieces meanwhile
                self._take(found, found.frames)

    def _take(self, found: Followed, frames: str) -> None:
        self.last = found
        if frames:
            self._texts.append(frames)
            self._length += len(frames)
        if frames or self.is_over:
            self._tell()

    def _tell(self) -> None:
        """Wakes those who wait."""
        self._changed.set()
        self._changed = asyncio.Event()


_watches: dict[_Key, Watch] = {}
_counts: Counter[str] = Counter()  # followers by user


@contextmanager
def watching(person: Person, chat_id: str, first: Followed) -> Iterator[Watch]:
    """The watch of this turn for this reader, which ends with its last follower. `first` is read from the start."""
    digest = person.api_key.digest if person.api_key else None
    key = (asyncio.get_running_loop(), first.turn_id, person.id, digest)
    watch = _watches.get(key)
    if watch is None or watch.is_over:
        watch = _watches[key] = Watch(person, chat_id, first)
    else:
        watch.person = person  # the newest token is valid for longest
        watch.take_whole(first)
    watch.followers += 1
    watch.start()
    try:
        yield watch
    finally:
        watch.followers -= 1
        if not watch.followers:
            watch.stop()
            if _watches.get(key) is watch:
                del _watches[key]


def take_seat(person: Person) -> None:
    """Counts a follower of this person; `leave_seat` must follow. Raises TooManyFollowers."""
    if _counts[person.id] >= MAX_OF_PERSON or _counts.total() >= MAX_OF_PROCESS:
        is_own = _counts[person.id] >= MAX_OF_PERSON
        metadata = {"max_followers": MAX_OF_PERSON if is_own else MAX_OF_PROCESS}
        raise TooManyFollowers(
            "Too many requests read running answers.", retry_after_seconds=_RETRY_AFTER_SECONDS, metadata=metadata
        )
    _counts[person.id] += 1


def leave_seat(person: Person) -> None:
    """Ends what `take_seat` began."""
    _counts[person.id] -= 1
    if not _counts[person.id]:
        del _counts[person.id]
