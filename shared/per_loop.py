"""Values that belong to an event loop, such as clients and locks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class PerLoop(Generic[Value]):
    """One value for each event loop, made at its first use there; those of closed loops are forgotten.

    A process of a function has one loop. Scripts and tests have several, also at once in threads.
    """

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._values: dict[asyncio.AbstractEventLoop, Value] = {}

    def __call__(self) -> Value:
        """The value of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._values:
            for closed in [each for each in tuple(self._values) if each.is_closed()]:
                self._values.pop(closed, None)
            self._values[loop] = self._make()
        return self._values[loop]

    def pop(self) -> Value | None:
        """Forgets the value of the running event loop, and returns it if there was one."""
        return self._values.pop(asyncio.get_running_loop(), None)
