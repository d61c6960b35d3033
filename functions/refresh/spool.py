"""Step `spool`: books the spooled turns, and quarantines the objects that cannot be booked.

An object is deleted only after the database accepted it, and the database books each attempt once. So an interrupted
drain can be repeated, and several drains can run at once.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from time import monotonic as clock
from typing import Any

from functions.refresh.step import StepContext, StepOutcome
from shared import spool, supabase
from shared.errors import (
    DatabaseUnavailable,
    DependencyDown,
    Forbidden,
    InternalError,
    NotConfigured,
    ParleyError,
    Unauthenticated,
)
from shared.identifiers import is_canonical_uuid
from shared.log import log
from shared.log_encryption import log_words
from shared.sanitize import sanitize_text
from shared.spool import SpooledObject

_MAX_OBJECTS = 1000
_AT_ONCE = 8
_SECONDS = 60.0  # the next run drains the rest
_BOOKED = {"settled": "drained", "stale": "drained", "duplicate": "duplicates"}
_NOT_THE_OBJECTS_FAULT = (DatabaseUnavailable, Forbidden, Unauthenticated, NotConfigured)

# Finds the origin of an object that is truncated or has another version.
_USER_ID = re.compile(r'"user_id"\s*:\s*"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')
_SPOOLED_AT = re.compile(r'"spooled_at"\s*:\s*"([^"]{1,40})"')


class NotARecordError(Exception):
    """The object is not a record of `shared.spool`; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The user and the ISO 8601 time in an object; None where the object has none."""

    user_id: str | None = None
    spooled_at: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A valid record."""

    entry: dict[str, Any]
    origin: Origin


async def run(context: StepContext) -> StepOutcome:
    """The outcome: counts of drained, duplicate, quarantined and left records; ok when no record failed.

    Raises NotConfigured, DependencyDown (spool unreachable), DatabaseUnavailable.
    """
    rest = await spool.waiting(_MAX_OBJECTS)
    counts: Counter[str] = Counter()
    deadline = clock() + _SECONDS
    while rest and not context.is_dry_run and clock() < deadline:
        batch, rest = rest[:_AT_ONCE], rest[_AT_ONCE:]
        # The whole batch ends before a failure is raised, so that no task outlives the step.
        outcomes = await asyncio.gather(*(_drain_safely(each) for each in batch), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            counts[outcome] += 1
    details = {name: counts[name] for name in ("drained", "duplicates", "quarantined")}
    return StepOutcome(not counts["failed"], details | {"left": counts["failed"] + len(rest)})


async def _drain_safely(each: SpooledObject) -> str:
    """The object's outcome, `failed` after an unexpected error, so that the other objects are still drained."""
    try:
        return await _drain(each)
    except _NOT_THE_OBJECTS_FAULT:
        raise
    except Exception as error:  # noqa: BLE001 - the object stays, and the next run tries it again
        log("spool_object_failed", object=each.key, turn_id=_turn_id(each), error=type(error).__name__)
        return "failed"


async def _drain(each: SpooledObject) -> str:
    if each.size > spool.MAX_BYTES:
        return await _set_aside(each)
    raw = await spool.read(each)
    if raw is None:
        return "gone"  # another drain removed it
    text = raw.decode(errors="replace")
    try:
        record = parse(raw)
    except NotARecordError as error:
        return await _quarantine(each, str(error), log_words(text), origin_of(text))
    outcome = await _book(record.entry)
    if outcome not in _BOOKED:
        return await _quarantine(each, outcome, text, record.origin)
    await spool.discard(each)
    return _BOOKED[outcome]


def parse(raw: bytes) -> Record:
    """The record in an object's bytes. Raises NotARecordError."""
    try:
        record = json.loads(raw)
        json.dumps(sanitize_text(record), allow_nan=False)  # PostgreSQL rejects NaN
    except (ValueError, RecursionError) as error:
        raise NotARecordError("not_json") from error
    if not isinstance(record, dict) or record.get("version") is True or record.get("version") != spool.VERSION:
        raise NotARecordError("wrong_version")
    entry = record.get("entry")
    if not isinstance(entry, dict) or not all(is_canonical_uuid(entry.get(n)) for n in ("turn_id", "worker_id")):
        raise NotARecordError("wrong_entry")
    return Record(entry, _origin(record.get("user_id"), record.get("spooled_at")))


def origin_of(text: str) -> Origin:
    """The origin of an invalid record; without a user when the text names several users."""
    people, times = set(_USER_ID.findall(text)), _SPOOLED_AT.findall(text)
    return _origin(people.pop() if len(people) == 1 else None, min(times, default=None))


def _origin(user_id: Any, spooled_at: Any) -> Origin:
    try:
        moment = datetime.fromisoformat(spooled_at)
    except (TypeError, ValueError):
        moment = None
    timestamp = moment.isoformat() if moment and moment.tzinfo else None
    return Origin(user_id if is_canonical_uuid(user_id) else None, timestamp)


async def _book(entry: dict[str, Any]) -> str:
    """The outcome of `chat_finish`; `unknown_turn`; `refused` when it rejects only this entry."""
    try:
        return await _finish(entry)
    except ParleyError:
        # A call with an unknown turn: if it fails too, the database is at fault, and every object stays.
        await _finish({"turn_id": str(uuid.uuid4()), "worker_id": str(uuid.uuid4())})
    try:
        return await _finish(entry)  # the first call may have met the deletion of its user
    except InternalError:
        return "refused"
    except DatabaseUnavailable as error:
        raise DependencyDown("The database takes other records, and not this one now.") from error


async def _finish(entry: dict[str, Any]) -> str:
    booked = await supabase.rpc("chat_finish", {"entry": entry}, supabase.as_service(), timeout_seconds=10.0)
    outcome: str = booked["outcome"]
    return "unknown_turn" if outcome == "unknown" else outcome


def _turn_id(each: SpooledObject) -> str | None:
    """The turn id in the object's key; None when there is none."""
    name = each.key.partition(".")[0]
    return name if is_canonical_uuid(name) else None


async def _set_aside(each: SpooledObject) -> str:
    """Moves an object that is too large to read to quarantine/, where the operator can inspect it."""
    kept_key = await spool.set_aside(each)
    if kept_key is None:
        return "gone"
    return await _quarantine(each, "too_large", None, Origin(), kept_key)


async def _quarantine(
    each: SpooledObject, reason: str, record: str | None, origin: Origin, kept_key: str | None = None
) -> str:
    arguments = {"object_key": each.key, "reason": reason, "record": record, "kept_key": kept_key}
    arguments |= {"user_id": origin.user_id, "spooled_at": origin.spooled_at}
    await supabase.rpc("quarantine_spooled", arguments, supabase.as_service(), timeout_seconds=10.0)
    await spool.discard(each)
    log("spool_quarantined", object=each.key, turn_id=_turn_id(each), reason=reason)
    return "quarantined"
