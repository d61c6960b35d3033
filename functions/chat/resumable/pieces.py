"""The database's side of a resumable turn: pieces of its stream, and who stopped it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Literal

from shared import ledger_calls, supabase
from shared.auth import Person
from shared.per_loop import PerLoop
from shared.turns import Turn

_KEEP_SECONDS: Final = 3.0
_SLOTS, _DIRECT_SLOTS = 16, 2  # an instance has three connections to the database

Kept = Literal["kept", "stopped", "closed"]


@dataclass(frozen=True, slots=True)
class Followed:
    """New frames of a turn's stream, up to the piece `place`. `is_whole` says that they contain the stream's end.

    `lost` means that the instance of the turn was killed; `none` that there is no turn for this user.
    """

    outcome: Literal["none", "running", "ended", "lost"]
    turn_id: str | None = None
    frames: str = ""
    place: int = 0
    is_whole: bool = False


def _new_slots() -> asyncio.Semaphore:
    return asyncio.Semaphore(_DIRECT_SLOTS if ledger_calls.is_direct() else _SLOTS)


_slots = PerLoop(_new_slots)
"""Bounds the pieces that are written at once: turns that begin or end must not wait behind them."""


async def keep(turn: Turn, place: int, frames: str, *, is_last: bool) -> Kept:
    """Keeps a piece, or with empty frames only renews the lease.

    Returns "stopped" when a user stopped the turn, "closed" when nothing more may be kept. Raises DatabaseUnavailable.
    """
    piece = {"turn_id": turn.turn_id, "worker_id": turn.worker_id, "place": place, "frames": frames, "is_last": is_last}
    async with _slots():
        answer = await ledger_calls.call(
            "keep_piece", {"piece": piece}, supabase.as_service, timeout_seconds=_KEEP_SECONDS
        )
    outcome: Kept = answer["outcome"]
    return outcome


async def follow(person: Person, chat_id: str, turn_id: str | None = None, after: int = 0) -> Followed:
    """What came after the piece `after` of this turn, by default of the turn that runs.

    Raises DatabaseUnavailable, Unauthenticated, InvalidApiKey, AppNotAllowed.
    """
    asked = {"chat_id": chat_id, "turn_id": turn_id, "after": after}
    return Followed(**await _called(person, "follow_turn", {"follow": asked}))


async def stop(person: Person, chat_id: str) -> dict[str, Any]:
    """`{stopped, turn_id}` of the conversation's turn. Raises ConversationNotFound, DatabaseUnavailable."""
    return await _called(person, "stop_turn", {"chat_id": chat_id})


async def _called(person: Person, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The result for this user. For an API key the database reads the key again: a revoked one reads nothing."""
    answer: dict[str, Any]
    if person.api_key is not None:
        arguments = {"key_hash": person.api_key.digest} | arguments
        answer = await ledger_calls.call(f"{name}_with_key", arguments, supabase.as_service)
    else:
        answer = await ledger_calls.call(name, arguments, lambda: supabase.as_caller(person.token), person.claims)
    return answer
