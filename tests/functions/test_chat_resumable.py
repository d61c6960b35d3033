"""The pieces of a resumable turn, and its run, without a database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from functions.chat.resumable import pieces, writer
from functions.chat.resumable.kept_turn import StoppableRun, kept_turn
from functions.chat.resumable.writer import PieceWriter
from functions.chat.streams.ui import UiStream
from shared import ledger
from shared.errors import DatabaseUnavailable
from shared.events import Text, Usage
from shared.routes import RouteChosen
from shared.run_turn import RunEvent, TurnEnd, TurnEvent
from shared.turns import Receipt, Turn, TurnResult
from tests.functions.turns import ROUTE, TURN, frames

pytestmark = pytest.mark.anyio


class Database:
    """Takes pieces; `outcomes` are its next answers, of which an error is raised."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str, bool]] = []
        self.outcomes: list[pieces.Kept | Exception] = []
        self.called = asyncio.Event()

    async def keep(self, _turn: Turn, place: int, text: str, *, is_last: bool) -> pieces.Kept:
        """Records the call."""
        await asyncio.sleep(0)
        self.calls.append((place, text, is_last))
        self.called.set()
        outcome = self.outcomes.pop(0) if self.outcomes else "kept"
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def stream(self) -> str:
        """The frames, each place once."""
        return "".join(text for _, text in sorted({place: text for place, text, _ in self.calls if text}.items()))


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    """In place of the real one; pieces are due soon."""
    made = Database()
    monkeypatch.setattr(pieces, "keep", made.keep)
    monkeypatch.setattr(writer, "PIECE_SECONDS", 0.01)
    return made


class Run:
    """Has these words, then waits until it is cancelled if it is `endless`."""

    def __init__(self, *words: str, endless: bool = False) -> None:
        self.turn, self.arrived = TURN, 0.0
        self.words, self.endless = words, endless
        self.text = ""

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """The words."""
        yield RouteChosen(ROUTE)
        for word in self.words:
            self.text += word
            yield Text(word)
            await asyncio.sleep(0)
        if self.endless:
            await asyncio.Event().wait()

    def result(self, end: TurnEnd) -> TurnResult:
        """Its words."""
        reason = None if self.endless else "stop"
        status = end.status(reason)
        return TurnResult(self.turn, status, ROUTE, self.text, Usage(1, 1), end.duration_ms, finish_reason=reason)


class PacedRun(Run):
    """Goes on after each word when the database has been called."""

    def __init__(self, database: Database, *words: str) -> None:
        super().__init__(*words)
        self.database = database

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """The words."""
        async for event in super().events():
            yield event
            if isinstance(event, Text):
                self.database.called.clear()
                await self.database.called.wait()


@pytest.fixture
def booked(monkeypatch: pytest.MonkeyPatch) -> list[TurnResult]:
    """The results that were booked."""
    found: list[TurnResult] = []

    async def finish(result: TurnResult) -> Receipt:
        await asyncio.sleep(0)
        found.append(result)
        return Receipt(result, 0.1, logged=True)

    monkeypatch.setattr(ledger, "finish", finish)
    return found


def _text(stream: str) -> str:
    return "".join(each["delta"] for each in frames(stream.encode())[:-1] if each["type"] == "text-delta")


async def test_the_kept_stream_is_the_stream_in_fewer_frames(database: Database, booked: list[TurnResult]) -> None:
    """The pieces are the same events; successive words are one frame; the last piece is marked."""
    run = Run(*("word " for _ in range(50)))
    events: list[TurnEvent] = [event async for event in kept_turn(run)]
    encoder = UiStream(run.turn)
    streamed = b"".join(encoder.encode(event) for event in events)
    assert _text(database.stream) == _text(streamed.decode()) == "word " * 50
    assert database.stream.count("text-delta") < 50
    assert [is_last for *_, is_last in database.calls] == [False] * (len(database.calls) - 1) + [True]
    assert [result.status for result in booked] == ["completed"]


async def test_a_kilobyte_is_kept_at_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for the end of the 300 ms, and no two statements run at once."""
    monkeypatch.setattr(writer, "PIECE_SECONDS", 60)
    made = PieceWriter(TURN, lambda: None)
    task = asyncio.create_task(made.run())
    made.add(Text("x" * writer.PIECE_CHARACTERS))
    async with asyncio.timeout(30):
        await database.called.wait()
    made.end()
    await task
    assert [place for place, *_ in database.calls] == [1, 2]


async def test_a_failed_piece_is_sent_again_as_it_was(database: Database, booked: list[TurnResult]) -> None:
    """An answer may be lost after the piece was kept, so later frames get a place of their own."""
    database.outcomes = [DatabaseUnavailable("down"), DatabaseUnavailable("down")]
    async with asyncio.timeout(30):
        async for _ in kept_turn(PacedRun(database, "a", "b", "c")):
            pass
    texts: dict[int, set[str]] = {}
    for place, text, _ in database.calls:
        texts.setdefault(place, set()).add(text)
    assert all(len(found) == 1 for found in texts.values())
    assert _text(database.stream) == "abc"
    assert len(booked) == 1


async def test_a_database_that_stays_away_ends_the_writer(database: Database) -> None:
    """After three failed tries of the last piece it gives up."""
    database.outcomes = [DatabaseUnavailable("down")] * 9
    made = PieceWriter(TURN, lambda: None)
    made.add(Text("a"))
    made.end()
    await made.run()
    assert len(database.calls) == 3


@pytest.mark.parametrize("outcome", ["stopped", "closed"])
async def test_a_stopped_turn_has_a_receipt_and_keeps_its_words(
    database: Database, booked: list[TurnResult], outcome: pieces.Kept
) -> None:
    """The run is cancelled and booked once; after `closed` nothing more is kept."""
    database.outcomes = ["kept", outcome]
    events = [event async for event in kept_turn(Run("one ", endless=True))]
    assert isinstance(events[-1], Receipt)
    assert [(result.status, result.content) for result in booked] == [("cancelled", "one ")]
    assert database.calls[-1][2] == (outcome == "stopped")


async def test_a_closed_response_waits_for_the_turn(database: Database, booked: list[TurnResult]) -> None:
    """The client leaves after the first event; the turn is completed and kept."""
    events = kept_turn(Run("one ", "two ", "three"))
    await anext(events)
    await events.aclose()
    assert [result.content for result in booked] == ["one two three"]
    assert _text(database.stream) == "one two three"


async def test_a_stop_after_the_last_event_cancels_nothing(booked: list[TurnResult]) -> None:
    """Booking goes on."""
    run = StoppableRun(Run("one "))
    seen = [event async for event in run.events()]
    run.stop()
    await asyncio.sleep(0)
    assert (len(seen), booked) == (2, [])


async def test_a_cancelled_task_is_not_taken_for_a_stop() -> None:
    """The cancellation of the task itself is raised."""
    run, has_begun = StoppableRun(Run(endless=True)), asyncio.Event()

    async def read() -> None:
        async for _ in run.events():
            has_begun.set()

    task = asyncio.create_task(read())
    await has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
