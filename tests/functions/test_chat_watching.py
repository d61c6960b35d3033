"""Followers of a running turn share their reads, and are bounded."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from functions.chat.resumable import following, pieces, watching
from functions.chat.resumable.pieces import Followed
from shared.auth import Person
from shared.errors import DatabaseUnavailable, TooManyFollowers

pytestmark = pytest.mark.anyio
ALICE = Person("alice", "token", is_anonymous=False, is_admin=False)
BOB = replace(ALICE, id="bob")


class Kept:
    """A turn of four pieces, of which each read finds one more; `calls` are the reads by user and place."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.silent = 0  # reads that find nothing before the first piece
        self.failure: Exception | None = None

    async def follow(self, person: Person, _chat_id: str, turn_id: str | None = None, after: int = 0) -> Followed:
        """The next piece after this place."""
        self.calls.append((person.id, after))
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        if len(self.calls) <= self.silent:
            return Followed("running", turn_id, place=after)
        place = after + 1
        is_last = place == 4
        return Followed("ended" if is_last else "running", turn_id, f"[{place}]", place, is_whole=is_last)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """In place of the database; polls come at once."""
    made = Kept()
    monkeypatch.setattr(pieces, "follow", made.follow)
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.0)
    return made


async def _read(person: Person, first: Followed) -> str:
    return b"".join([each async for each in following.followed(person, "chat", first)]).decode()


async def test_fifty_followers_cost_the_reads_of_one(kept: Kept) -> None:
    """Each of them gets the whole stream once, and the process reads each piece once."""
    first = Followed("running", "turn", "[1]", 1)
    streams = await asyncio.gather(*(_read(ALICE, first) for _ in range(50)))
    assert set(streams) == {"[1][2][3][4]"}
    assert kept.calls == [("alice", 1), ("alice", 2), ("alice", 3)]


async def test_each_user_reads_with_their_own_rights(kept: Kept) -> None:
    """Two users do not share a read, because one of them may be removed."""
    first = Followed("running", "turn", "[1]", 1)
    await asyncio.gather(_read(ALICE, first), _read(BOB, first))
    assert sorted(kept.calls) == [(user, place) for user in ("alice", "bob") for place in (1, 2, 3)]


async def test_a_follower_whose_first_read_is_newer_repeats_nothing(kept: Kept) -> None:
    """Its read serves the others, too."""
    streams = await asyncio.gather(
        _read(ALICE, Followed("running", "turn", "[1]", 1)), _read(ALICE, Followed("running", "turn", "[1][2][3]", 3))
    )
    assert list(streams) == ["[1][2][3][4]"] * 2
    assert kept.calls == [("alice", 3)]


async def test_reads_become_rarer_while_nothing_comes(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause grows to a bound, and is short again after a piece."""
    pauses: list[float] = []
    pause = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await pause(0)

    kept.silent = 10
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.25)
    monkeypatch.setattr(asyncio, "sleep", noted)
    await _read(ALICE, Followed("running", "turn"))
    polls = [each for each in pauses if each]
    assert polls[:2] == [0.25, 0.3125]
    assert polls == sorted(polls[:11]) + [0.25] * 3
    assert max(polls) == watching.MAX_POLL_SECONDS


@pytest.mark.parametrize("failure", [DatabaseUnavailable(), ValueError()])
async def test_a_failure_ends_all_followers(kept: Kept, failure: Exception) -> None:
    """A database that stays away, and a fault of ours, reach each of them."""
    kept.failure = failure
    first = Followed("running", "turn", "[1]", 1)
    streams = await asyncio.gather(*(_read(ALICE, first) for _ in range(3)))
    assert all(each.startswith("[1]") and '"abort"' in each for each in streams)


async def test_the_last_follower_ends_the_reads(kept: Kept) -> None:
    """After it has left, nothing reads the turn."""
    with watching.watching(ALICE, "chat", Followed("running", "turn")):
        pass
    for _ in range(5):
        await asyncio.sleep(0)
    assert kept.calls == []


def test_followers_are_bounded_by_person_and_by_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is refused with the bound; a seat that was left is free."""
    monkeypatch.setattr(watching, "MAX_OF_PERSON", 2)
    monkeypatch.setattr(watching, "MAX_OF_PROCESS", 3)
    for person in (ALICE, ALICE, BOB):
        watching.take_seat(person)
    with pytest.raises(TooManyFollowers) as own:
        watching.take_seat(ALICE)
    with pytest.raises(TooManyFollowers) as all_of_process:
        watching.take_seat(BOB)
    assert (own.value.metadata, all_of_process.value.metadata) == ({"max_followers": 2}, {"max_followers": 3})
    watching.leave_seat(ALICE)
    watching.take_seat(BOB)
    for person in (ALICE, BOB, BOB):
        watching.leave_seat(person)
