"""The limit of a wait, and cancellations from outside."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import ProviderTimeout
from shared.watchdog import Watchdog

pytestmark = pytest.mark.anyio


async def _iterations_of_the_loop() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def _wait(*limits: float) -> None:
    """Waits that end at once, with a pause after each, and a last one that does not end."""
    with Watchdog() as watchdog:
        for seconds in limits[:-1]:
            watchdog.start(seconds)
            watchdog.stop()
            await _iterations_of_the_loop()
        watchdog.start(limits[-1])
        await asyncio.Event().wait()


def _cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


@pytest.mark.parametrize("limits", [(0,), (1000, 0), (0, 0)])
async def test_a_wait_over_its_limit_ends_as_a_timeout(limits: tuple[float, ...]) -> None:
    """Also after a wait with a farther or an equal limit; the task is not cancelled afterwards."""
    with pytest.raises(ProviderTimeout):
        await _wait(*limits)
    assert _cancellations() == 0
    await _iterations_of_the_loop()


async def test_the_limit_of_an_earlier_wait_does_not_end_a_later_one() -> None:
    """The timer looks at the limit that counts now."""
    with Watchdog() as watchdog:
        watchdog.start(0)
        watchdog.stop()
        watchdog.start(1000)
        await _iterations_of_the_loop()


async def test_time_between_two_waits_does_not_count() -> None:
    """A client may read as slowly as it likes."""
    with Watchdog() as watchdog:
        watchdog.start(0)
        watchdog.stop()
        await _iterations_of_the_loop()
    assert _cancellations() == 0


@pytest.mark.parametrize("seconds", [0, 1000])
async def test_a_cancellation_from_outside_stays_one(seconds: float) -> None:
    """Whether or not the limit is over in the same moment."""
    task = asyncio.create_task(_wait(seconds))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_was_cancelled_can_wait_again() -> None:
    """As the end of a turn does."""

    async def end_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with pytest.raises(ProviderTimeout):
                await _wait(0)

    task = asyncio.create_task(end_slowly())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_wait_that_survives_its_limit_counts_as_ended_in_time() -> None:
    """A client library may catch the cancellation and answer."""
    with Watchdog() as watchdog:
        watchdog.start(0)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.Event().wait()
        watchdog.stop()
        assert _cancellations() == 0


async def test_a_sign_of_life_extends_the_wait_but_not_beyond_its_end() -> None:
    """The timeout after it is not transient, because the call was accepted."""

    async def wait() -> None:
        with Watchdog() as watchdog:
            watchdog.start(0, patience=1000)
            watchdog.alive()
            await _iterations_of_the_loop()
            watchdog.start(1000, patience=1000, left=0)
            watchdog.alive()
            await asyncio.Event().wait()

    with pytest.raises(ProviderTimeout) as caught:
        await wait()
    assert not caught.value.is_transient


async def test_without_a_sign_of_life_the_call_may_be_made_again() -> None:
    """A provider that never answered is not known to have taken the request."""
    with pytest.raises(ProviderTimeout) as caught:
        await _wait(0)
    assert caught.value.is_transient
