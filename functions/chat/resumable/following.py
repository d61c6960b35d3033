"""The stream of a resumable turn for another request: what was kept, then what follows, until its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from functions.chat.resumable.pieces import Followed
from functions.chat.resumable.watching import leave_seat, watching
from functions.chat.streams.ui import HEADERS
from shared.auth import Person
from shared.responses import PING_AFTER_SECONDS, STREAM_HEADERS, until_hang_up
from shared.sse import DONE, PING, frame

LOST = "The answer was interrupted: its server ended. Ask again to replace these words."
_ABORTED: Final = frame({"type": "abort", "reason": "The answer cannot be read any more."}) + DONE
_INTERRUPTED: Final = frame({"type": "error", "errorText": LOST}) + DONE
_ENDED: Final = frame({"type": "finish"}) + DONE  # the instance ended after it stored the answer


class FollowResponse(Response):
    """Streams a turn from its first piece; `deadline` is the latest end, by time.monotonic(). Leaves the seat."""

    def __init__(self, person: Person, chat_id: str, first: Followed, deadline: float) -> None:
        super().__init__(headers=STREAM_HEADERS | HEADERS)
        del self.headers["content-length"]
        self._person = person
        self._frames = followed(person, chat_id, first)
        self._deadline = deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - an ASGI app
        try:
            with until_hang_up(receive, self._deadline):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                async with aclosing(self._frames) as all_frames:
                    async for frames in all_frames:
                        await send({"type": "http.response.body", "body": frames, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leave_seat(self._person)


async def followed(person: Person, chat_id: str, first: Followed) -> AsyncGenerator[bytes, None]:
    """The frames of the turn, from `first` to its end; pings while it is silent. Ends when the user may not read it."""
    with watching(person, chat_id, first) as watch:
        read = 0
        while True:
            if texts := watch.from_text(read):
                read += len(texts)
                yield "".join(texts).encode()
                continue
            if watch.is_over:
                break
            try:
                async with asyncio.timeout(PING_AFTER_SECONDS):
                    await watch.change()
            except TimeoutError:
                yield PING
    if watch.is_unreadable:
        yield _ABORTED
    elif not watch.last.is_whole:
        yield {"lost": _INTERRUPTED, "ended": _ENDED}.get(watch.last.outcome, _ABORTED)
