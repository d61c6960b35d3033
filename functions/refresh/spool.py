"""Step `spool`: books the turns that the database could not take when they ended, and sets aside what has no place.

An object goes only after the database took it, and the database takes each attempt once: a drain that dies halfway
is repeated, and several at once do no harm.
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

from shared import spool, supabase
from shared.config import settings
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
from shared.privacy import loggable
from shared.sanitize import sanitize_text
from shared.spool import SpooledObject

_MAX_OBJECTS = 1000
_AT_ONCE = 8
_SECONDS = 60.0  # the rest is the next run's
_BOOKED = {"settled": "drained", "stale": "drained", "duplicate": "duplicates"}
_OURS_TO_MEND = (DatabaseUnavailable, Forbidden, Unauthenticated, NotConfigured)  # no object is at fault


# What an object says of itself that is not a record of this version, or not to its end.
_USER_ID = re.compile(r'"user_id"\s*:\s*"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')
_SPOOLED_AT = re.compile(r'"spooled_at"\s*:\s*"([^"]{1,40})"')


class NotARecordError(Exception):
    """An object that is not what `shared.spool` writes; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose turn an object says it is, and when it was spooled, ISO 8601; None when it does not say."""

    user_id: str | None = None
    spooled_at: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it was read."""

    entry: dict[str, Any]
    origin: Origin


async def run(*, is_dry_run: bool) -> dict[str, Any]:
    """The step's outcome: records drained, duplicates, quarantined and left; ok when none failed.

    Raises NotConfigured, DependencyDown when the spool, DatabaseUnavailable when the database cannot be reached.
    """
    found = await spool.waiting(_MAX_OBJECTS)
    counts: Counter[str] = Counter()
    deadline = clock() + _SECONDS
    rest = found
    while rest and not is_dry_run and clock() < deadline:
        some, rest = rest[:_AT_ONCE], rest[_AT_ONCE:]
        # All of them end before one's failure counts: nothing goes on behind a step that has failed.
        outcomes = await asyncio.gather(*(_drain_safely(each) for each in some), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            counts[outcome] += 1
    told = {name: counts[name] for name in ("drained", "duplicates", "quarantined")}
    return {"ok": not counts["failed"], **told, "left": counts["failed"] + len(rest)}


async def _drain_safely(each: SpooledObject) -> str:
    """What became of the object; whatever is wrong with one must not stop the others."""
    try:
        return await _drain(each)
    except _OURS_TO_MEND:
        raise
    except Exception as error:  # noqa: BLE001 - it stays where it is, and is tried again by the next run
        log("spool_object_failed", object=each.key, turn_id=_turn_id(each), error=type(error).__name__)
        return "failed"


async def _drain(each: SpooledObject) -> str:
    if each.size > spool.MAX_BYTES:
        return await _set_aside(each)
    raw = await spool.read(each)
    if raw is None:
        return "gone"  # another drain was faster
    text = raw.decode(errors="replace")
    try:
        record = parse(raw)
    except NotARecordError as error:
        return await _quarantine(each, str(error), loggable(text, settings().log_content), origin_of(text))
    outcome = await _book(record.entry)
    if outcome not in _BOOKED:
        return await _quarantine(each, outcome, text, record.origin)
    await spool.discard(each)
    return _BOOKED[outcome]


def parse(raw: bytes) -> Record:
    """The record in an object's bytes. Raises NotARecordError."""
    try:
        record = json.loads(raw)
        json.dumps(sanitize_text(record), allow_nan=False)  # what PostgreSQL would not take, such as NaN
    except (ValueError, RecursionError) as error:
        raise NotARecordError("not_json") from error
    if not isinstance(record, dict) or record.get("version") is True or record.get("version") != spool.VERSION:
        raise NotARecordError("wrong_version")
    entry = record.get("entry")
    if not isinstance(entry, dict) or not all(is_canonical_uuid(entry.get(n)) for n in ("turn_id", "worker_id")):
        raise NotARecordError("wrong_entry")
    return Record(entry, _origin(record.get("user_id"), record.get("spooled_at")))


def origin_of(text: str) -> Origin:
    """Whose an object is that is no record; nobody's when it names several people."""
    people, times = set(_USER_ID.findall(text)), _SPOOLED_AT.findall(text)
    return _origin(people.pop() if len(people) == 1 else None, min(times, default=None))


def _origin(user_id: Any, spooled_at: Any) -> Origin:
    try:
        moment = datetime.fromisoformat(spooled_at)
    except (TypeError, ValueError):
        moment = None
    told_at = moment.isoformat() if moment and moment.tzinfo else None
    return Origin(user_id if is_canonical_uuid(user_id) else None, told_at)


async def _book(entry: dict[str, Any]) -> str:
    """The outcome of `chat_finish`, `unknown_turn`, or `refused` when it takes other entries but not this one."""
    try:
        return await _finish(entry)
    except ParleyError:
        # A turn that never was: when this fails too, it is not the record's fault, and everything stays.
        await _finish({"turn_id": str(uuid.uuid4()), "worker_id": str(uuid.uuid4())})
    try:
        return await _finish(entry)  # its person may have been in the middle of being deleted
    except InternalError:
        return "refused"
    except DatabaseUnavailable as error:
        raise DependencyDown("The database takes other records, and not this one now.") from error


async def _finish(entry: dict[str, Any]) -> str:
    booked = await supabase.rpc("chat_finish", {"entry": entry}, supabase.as_service(), timeout_seconds=10.0)
    outcome: str = booked["outcome"]
    return "unknown_turn" if outcome == "unknown" else outcome


def _turn_id(each: SpooledObject) -> str | None:
    """The turn that the object's name says; None when it says none."""
    name = each.key.partition(".")[0]
    return name if is_canonical_uuid(name) else None


async def _set_aside(each: SpooledObject) -> str:
    """An object too large to be read goes on lying in the store, where a person can look at it."""
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
