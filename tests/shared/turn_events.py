"""Events of a turn that a test scripts, or gives one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from shared.run_turn import TurnEvent
from shared.turns import Receipt


class Script:
    """Events of a turn; `None` among them waits until `go_on` is set. Knows how it ended."""

    def __init__(self, *events: TurnEvent | None) -> None:
        self.go_on = asyncio.Event()
        self.ended = ""
        self._events = events

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """The events."""
        try:
            for event in self._events:
                if event is None:
                    await self.go_on.wait()
                else:
                    yield event
            self.ended = "complete"
        except (GeneratorExit, asyncio.CancelledError):
            self.ended = "left"
            raise


class Words:
    """Events of a turn that the test gives one by one, until the receipt."""

    def __init__(self) -> None:
        self._given: asyncio.Queue[TurnEvent] = asyncio.Queue()

    def give(self, event: TurnEvent) -> None:
        """The turn's next event."""
        self._given.put_nowait(event)

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """The events."""
        event: TurnEvent | None = None
        while not isinstance(event, Receipt):
            event = await self._given.get()
            yield event
