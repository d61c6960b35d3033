"""The spool: turn records that the database could not accept, one JSON object for each attempt at a turn.

SPOOL_URL names the folder (`shared.object_store` lists the schemes). Only objects directly under the URL that end in
.json belong to the spool, so the bucket may hold other objects.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError

from shared.config import settings
from shared.log import log
from shared.object_store import store_errors, store_of
from shared.privacy import WITHHELD, loggable_value
from shared.sanitize import sanitize_text

VERSION = 1
MAX_BYTES = 1 << 20
KEEP_SECONDS = 2.5  # the time left after the ledger's attempts at the database


@dataclass(frozen=True, slots=True)
class SpooledObject:
    """An object in the spool; `size` is in bytes."""

    key: str
    size: int


def record_of(entry: Mapping[str, Any], user_id: str) -> dict[str, Any]:
    """The complete, redacted record of an entry for `chat_finish`; `content` holds the same text as the log.

    WITHHELD replaces text that LOG_CONTENT does not allow, or that is encrypted in the log. It also replaces all text
    when the record is larger than MAX_BYTES, so that the drain can still book the cost.
    """
    words = None if settings().log_content == "encrypted" else entry.get("response")
    content = words or (WITHHELD if entry.get("content") else "")
    redacted = dict(entry) | {"content": content}  # besides `parts`, the only field with verbatim text
    if redacted.get("parts"):
        mode = settings().log_content
        redacted["parts"] = loggable_value(redacted["parts"], "none" if mode == "encrypted" else mode)
    record = {
        "version": VERSION,
        "spooled_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "user_id": user_id,
        "user_id_hash": entry.get("user_id_hash"),
        "entry": redacted,
    }
    if len(_encoded(record)) > MAX_BYTES:
        record["entry"] = redacted | {"content": WITHHELD, "response": WITHHELD, "parts": None}
    return record


def key_of(record: Mapping[str, Any]) -> str:
    """The object's key: turn and worker, because an attempt that lost its lease has a cost of its own."""
    return f"{record['entry']['turn_id']}.{record['entry']['worker_id']}.json"


async def keep(record: Mapping[str, Any]) -> bool:
    """Whether the record is in the spool now; creates it only if absent, within KEEP_SECONDS, and never raises."""
    if not settings().get("SPOOL_URL"):
        return False
    try:
        async with asyncio.timeout(KEEP_SECONDS):
            await obstore.put_async(store_of("SPOOL_URL"), key_of(record), _encoded(record), mode="create")
    except AlreadyExistsError:
        return True  # an earlier put of this attempt, whose response was lost
    except Exception as error:  # noqa: BLE001 - the client gets its answer although the store fails
        log("spool_failed", error=type(error).__name__)
        return False
    return True


async def waiting(limit: int) -> list[SpooledObject]:
    """Up to `limit` objects in the spool; none without a SPOOL_URL. Raises NotConfigured, DependencyDown."""
    found: list[SpooledObject] = []
    if not settings().get("SPOOL_URL"):
        return found
    async with store_errors("spool"):
        async for chunk in obstore.list(store_of("SPOOL_URL"), chunk_size=1000):
            found += [SpooledObject(meta["path"], meta["size"]) for meta in chunk if _is_ours(meta["path"])]
            if len(found) >= limit:
                break
    return found[:limit]


async def read(each: SpooledObject) -> bytes | None:
    """The first `size` bytes of the object; None when another drain removed it. Raises DependencyDown."""
    if each.size == 0:
        return b""  # a store rejects a range of an empty object
    async with store_errors("spool"):
        try:
            return bytes(await obstore.get_range_async(store_of("SPOOL_URL"), each.key, start=0, length=each.size))
        except FileNotFoundError:
            return None


async def set_aside(each: SpooledObject) -> str | None:
    """The key of a copy in quarantine/; None when another drain removed the object. Raises DependencyDown."""
    key = f"quarantine/{each.key}"
    async with store_errors("spool"):
        try:
            await obstore.copy_async(store_of("SPOOL_URL"), each.key, key)
        except FileNotFoundError:
            return None
    return key


async def discard(each: SpooledObject) -> None:
    """Removes the object, if it still exists. Raises DependencyDown."""
    async with store_errors("spool"):
        try:
            await obstore.delete_async(store_of("SPOOL_URL"), each.key)
        except FileNotFoundError:
            return


def _encoded(record: Mapping[str, Any]) -> bytes:
    return json.dumps(sanitize_text(record), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _is_ours(path: str) -> bool:
    return "/" not in path and path.endswith(".json")
