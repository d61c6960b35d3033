"""The stream of a resumable turn for another request: what was kept, then what follows, until its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from functions.chat.resumable import pieces
from functions.chat.resumable.pieces import Followed
from functions.chat.streams.ui import HEADERS
from shared.auth import Person
from shared.errors import ParleyError
from shared.responses import PING_AFTER_SECONDS, STREAM_HEADERS, until_hang_up
from shared.sse import DONE, PING, frame

POLL_SECONDS: Final = 0.25
_MAX_FAILURES: Final = 5  # polls in a row that the database may fail
LOST = "The answer was interrupted: its server ended. Ask again to replace these words."
_ABORTED: Final = frame({"type": "abort", "reason": "The answer cannot be read any more."}) + DONE
_INTERRUPTED: Final = frame({"type": "error", "errorText": LOST}) + DONE
_ENDED: Final = frame({"type": "finish"}) + DONE  # the instance ended after it stored the answer


class FollowResponse(Response):
    """Streams a turn from its first piece; `deadline` is the latest end, by time.monotonic()."""

    def __init__(self, person: Person, chat_id: str, first: Followed, deadline: float) -> None:
        super().__init__(headers=STREAM_HEADERS | HEADERS)
        del self.headers["content-length"]
        self._frames = followed(person, chat_id, first)
        self._deadline = deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - an ASGI app
        with until_hang_up(receive, self._deadline):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with aclosing(self._frames) as all_frames:
                async for frames in all_frames:
                    await send({"type": "http.response.body", "body": frames, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def followed(person: Person, chat_id: str, first: Followed) -> AsyncGenerator[bytes, None]:
    """The frames of the turn, from `first` to its end; pings while it is silent. Ends when the user may not read it."""
    found, failures = first, 0
    sent_at = time.monotonic()
    while True:
        if found.frames:
            yield found.frames.encode()
            sent_at = time.monotonic()
        elif time.monotonic() - sent_at > PING_AFTER_SECONDS:
            yield PING
            sent_at = time.monotonic()
        if found.outcome != "running":
            break
        await asyncio.sleep(POLL_SECONDS)
        try:
            found = await pieces.follow(person, chat_id, first.turn_id, found.place)
        except ParleyError:
            failures += 1
            if failures == _MAX_FAILURES:
                yield _ABORTED
                return
            found = Followed("running", place=found.place)
        else:
            failures = 0
    if not found.is_whole:
        yield {"lost": _INTERRUPTED, "ended": _ENDED}.get(found.outcome, _ABORTED)
