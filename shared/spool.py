"""The spool: where records of turns wait that the database could not take; one JSON object for each attempt at a turn.

SPOOL_URL names the folder: file:///…, s3://bucket/prefix, gs://bucket/prefix, or memory:/// for tests. How a store is
reached, and as whom, obstore reads from the store's own variables (AWS_…, GOOGLE_…). Ours are only the objects right
under the URL that end in .json, so that a bucket may hold other things as well.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import MemoryStore, ObjectStore, from_url

from shared.config import settings
from shared.errors import DependencyDown, NotConfigured
from shared.log import log
from shared.privacy import WITHHELD, loggable_value
from shared.sanitize import sanitize_text

VERSION = 1
MAX_BYTES = 1 << 20
KEEP_SECONDS = 2.5  # what the booking of a turn has left after its tries at the database
_DRAIN_SECONDS = 10.0
_REMOTE = ("s3://", "gs://")


@dataclass(frozen=True, slots=True)
class SpooledObject:
    """An object in the spool; `size` is in bytes."""

    key: str
    size: int


def record_of(entry: Mapping[str, Any], user_id: str) -> dict[str, Any]:
    """The self-contained record of an entry for `chat_finish`, redacted: `content` is the log's text here, too.

    Where something was said that may not be kept, it says so instead. A record that would be larger than what a drain
    reads goes without its words: the money counts.
    """
    content = entry.get("response") or (WITHHELD if entry.get("content") else "")
    told = dict(entry) | {"content": content}  # beside parts the one field with verbatim words
    if told.get("parts"):
        told["parts"] = loggable_value(told["parts"], settings().log_content)
    record = {
        "version": VERSION,
        "spooled_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "user_id": user_id,
        "user_id_hash": entry.get("user_id_hash"),
        "entry": told,
    }
    if len(_encoded(record)) > MAX_BYTES:
        record["entry"] = told | {"content": WITHHELD, "response": WITHHELD, "parts": None}
    return record


def key_of(record: Mapping[str, Any]) -> str:
    """An attempt that lost its lease spent money of its own, so the key names the worker as well as the turn."""
    return f"{record['entry']['turn_id']}.{record['entry']['worker_id']}.json"


async def keep(record: Mapping[str, Any]) -> bool:
    """Whether the record is in the spool now; created only if absent, within KEEP_SECONDS, and never raises."""
    if not settings().get("SPOOL_URL"):
        return False
    try:
        async with asyncio.timeout(KEEP_SECONDS):
            await obstore.put_async(_store(), key_of(record), _encoded(record), mode="create")
    except AlreadyExistsError:
        return True  # this attempt's: a try of ours whose answer was lost
    except Exception as error:  # noqa: BLE001 - whatever a store does, the caller's answer must not be lost with it
        log("spool_failed", error=type(error).__name__)
        return False
    return True


async def waiting(most: int) -> list[SpooledObject]:
    """Up to `most` records that wait; none without a SPOOL_URL. Raises NotConfigured, DependencyDown."""
    found: list[SpooledObject] = []
    if not settings().get("SPOOL_URL"):
        return found
    async with _reached():
        async for chunk in obstore.list(_store(), chunk_size=1000):
            found += [SpooledObject(meta["path"], meta["size"]) for meta in chunk if _is_ours(meta["path"])]
            if len(found) >= most:
                break
    return found[:most]


async def read(each: SpooledObject) -> bytes | None:
    """The object, as long as it was when it was listed; None when it has gone meanwhile. Raises DependencyDown."""
    if each.size == 0:
        return b""  # a store has no range to give of it
    async with _reached():
        try:
            return bytes(await obstore.get_range_async(_store(), each.key, start=0, length=each.size))
        except FileNotFoundError:
            return None


async def set_aside(each: SpooledObject) -> str | None:
    """Copies the object out of the drain's way; where to, None when it has gone meanwhile. Raises DependencyDown."""
    key = f"quarantine/{each.key}"
    async with _reached():
        try:
            await obstore.copy_async(_store(), each.key, key)
        except FileNotFoundError:
            return None
    return key


async def discard(each: SpooledObject) -> None:
    """Removes the object; one that has gone already is no failure. Raises DependencyDown."""
    async with _reached():
        try:
            await obstore.delete_async(_store(), each.key)
        except FileNotFoundError:
            return


@asynccontextmanager
async def _reached() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            yield
    except (BaseError, OSError) as error:  # TimeoutError is an OSError
        raise DependencyDown("The spool cannot be reached.", retry_after_seconds=60) from error


def _encoded(record: Mapping[str, Any]) -> bytes:
    return json.dumps(sanitize_text(record), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _is_ours(path: str) -> bool:
    return "/" not in path and path.endswith(".json")


def _store() -> ObjectStore:
    return _opened(settings().require("SPOOL_URL"))


@functools.cache
def _opened(url: str) -> ObjectStore:
    """The store, opened once: a memory store is the only one of its URL, and the others keep their connections."""
    try:
        if url.startswith("memory://"):
            return MemoryStore()
        if url.startswith("file://"):
            return from_url(url, mkdir=True)
        if url.startswith(_REMOTE):
            return from_url(url, retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=2)})
    except (BaseError, ValueError, OSError) as error:
        raise NotConfigured("The environment variable SPOOL_URL names no store that can be opened.") from error
    raise NotConfigured("The environment variable SPOOL_URL is no file, s3, gs or memory URL.")
