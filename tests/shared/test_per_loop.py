"""Values that belong to an event loop."""

from __future__ import annotations

import asyncio
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

from shared.per_loop import PerLoop


class _Value:
    pass


def test_each_event_loop_has_a_value_of_its_own() -> None:
    """Also loops that run at the same time in two threads; asked again, each finds its own."""
    both = threading.Barrier(2, timeout=30)
    values = PerLoop(object)

    async def ask() -> tuple[object, object]:
        first = values()
        both.wait()
        return first, values()

    with ThreadPoolExecutor() as threads:
        (mine, again), (other, _) = threads.map(lambda _: asyncio.run(ask()), range(2))
    assert mine is again is not other


def test_the_value_of_a_closed_loop_is_forgotten() -> None:
    """So a process that runs one loop after another does not grow."""
    values = PerLoop(_Value)

    async def ask() -> weakref.ref[_Value]:
        return weakref.ref(values())

    made = [asyncio.run(ask()) for _ in range(3)]
    assert [each() is None for each in made] == [True, True, False]


def test_a_value_that_was_taken_away_is_made_again() -> None:
    """As when a client is closed; without a value there is none to take."""
    values = PerLoop(object)

    async def take() -> tuple[object | None, object, object | None, object]:
        return values.pop(), values(), values.pop(), values()

    nothing, first, taken, second = asyncio.run(take())
    assert nothing is None
    assert first is taken is not second
