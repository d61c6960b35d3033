"""Part of the step `export`: writes turns with consent as training data to EXPORT_URL, once a UTC day.

`training/day=YYYY-MM-DD/` holds examples.jsonl (OpenAI's chat fine-tuning), pairs.jsonl (its preference format),
turns.csv (the ids of the examples) and, last, manifest.json. Memory does not grow with the number of rows.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from functions.refresh.day_folders import complete_days
from functions.refresh.step import StepContext, StepOutcome
from shared import supabase
from shared.config import settings
from shared.errors import DependencyDown
from shared.object_store import store_of
from shared.redaction import VERSION

FORMAT: Final = 1
_PAGE = 1000
_SECONDS = 200.0  # a longer export begins again with the next run, without a manifest of this one
_FOLDER = "training"
_BUFFER_BYTES = 8 * 1024 * 1024
_FILES = ("examples.jsonl", "pairs.jsonl", "turns.csv")


async def run(context: StepContext) -> StepOutcome:
    """The outcome: counts of examples, pairs and withdrawn turns; nothing without EXPORT_URL or twice a day.

    Raises NotConfigured, DependencyDown (the store), DatabaseUnavailable.
    """
    counts = {"examples": 0, "pairs": 0, "withdrawn": 0}
    if not settings().get("EXPORT_URL") or context.is_dry_run:
        return StepOutcome(details=counts)
    settings().checked("EXPORT_URL")
    store, now = store_of("EXPORT_URL"), datetime.now(UTC)
    days = await complete_days(store, _FOLDER, "manifest.json")
    today = f"{now:%Y-%m-%d}"
    if today in days:
        return StepOutcome(details=counts)
    manifest = await _Export(store, today, now, max(days, default=None)).written()
    if manifest is None:
        return StepOutcome(ok=False, details=counts | {"error": "export_too_long"})
    return StepOutcome(details={name: manifest["counts"][name] for name in counts})


class _Export:
    """One day's export. Every file is written as it is read from the database."""

    def __init__(self, store: ObjectStore, day: str, until: datetime, earlier: str | None) -> None:
        self._store, self._folder, self._until = store, f"{_FOLDER}/day={day}", until
        self._earlier = f"{_FOLDER}/day={earlier}" if earlier else None
        self._seen = SeenTexts()
        self._sums = {name: hashlib.sha256() for name in _FILES}
        self._counts = dict.fromkeys(("examples", "pairs", "duplicates"), 0)
        self._withdrawn: list[str] = []

    async def written(self) -> dict[str, Any] | None:
        """The manifest; None when the time was not enough. Raises DependencyDown, DatabaseUnavailable."""
        deadline = time.monotonic() + _SECONDS
        before = _EarlierTurns(self._store, self._earlier)
        try:
            async with AsyncExitStack() as files:
                opened = {
                    name: await files.enter_async_context(
                        obstore.open_writer_async(self._store, f"{self._folder}/{name}", buffer_size=_BUFFER_BYTES)
                    )
                    for name in _FILES
                }
                after: int | None = 0
                while after is not None:
                    if time.monotonic() > deadline:
                        return None
                    page = await _page(self._until, after)
                    async for name, text in self._lines(page, before):
                        self._sums[name].update(text)
                        await opened[name].write(text)
                    after = page["next"]
                self._withdrawn += await before.rest()
            return await self._manifest()
        except (BaseError, OSError) as error:
            raise DependencyDown("The export store cannot be reached.", retry_after_seconds=60) from error

    async def _lines(self, page: dict[str, Any], before: _EarlierTurns) -> AsyncIterator[tuple[str, bytes]]:
        """The lines of a page by file, each file's lines together."""
        lines: dict[str, list[str]] = {name: [] for name in _FILES}
        for row in page["examples"]:
            self._withdrawn += await before.missing_before(row["id"])
            if self._seen.add(*(message["content"] for message in row["messages"])):
                lines["examples.jsonl"].append(_json({"messages": row["messages"]}))
                lines["turns.csv"].append(f"{row['id']},{row['turn_id']}")
            else:
                self._counts["duplicates"] += 1
        for row in page["pairs"]:
            if self._seen.add(row["question"], row["preferred"], row["rejected"]):
                lines["pairs.jsonl"].append(_json(_pair(row)))
        self._counts["examples"] += len(lines["examples.jsonl"])
        self._counts["pairs"] += len(lines["pairs.jsonl"])
        for name, texts in lines.items():
            if texts:
                yield name, ("\n".join(texts) + "\n").encode()

    async def _manifest(self) -> dict[str, Any]:
        earlier = []
        if self._earlier:
            read = await obstore.get_async(self._store, f"{self._earlier}/manifest.json")
            earlier = json.loads(bytes(await read.bytes_async()))["withdrawn"]
        withdrawn = sorted({*earlier, *self._withdrawn})
        manifest = {
            "format": FORMAT,
            "created_at": self._until.isoformat(),
            "redactor_version": VERSION,
            "filters": {"status": "completed", "consent": "user and conversation", "until": self._until.isoformat()},
            "counts": self._counts | {"withdrawn": len(withdrawn)},
            "sha256": {name: digest.hexdigest() for name, digest in self._sums.items()},
            "withdrawn": withdrawn,
        }
        await obstore.put_async(self._store, f"{self._folder}/manifest.json", _json(manifest).encode())
        return manifest


class SeenTexts:
    """Which texts were seen, in 16 MB whatever their number: a Bloom filter.

    It takes a new text for a known one less than once in a thousand times among five million, and never the reverse.
    """

    _BITS = 1 << 27

    def __init__(self) -> None:
        self._bits = bytearray(self._BITS // 8)

    def add(self, *texts: str) -> bool:
        """Whether these texts are new together."""
        digest = hashlib.blake2b(_json(texts).encode(), digest_size=16).digest()
        is_new = False
        for start in range(0, 16, 4):
            byte, bit = divmod(int.from_bytes(digest[start : start + 4], "big") % self._BITS, 8)
            is_new |= not self._bits[byte] >> bit & 1
            self._bits[byte] |= 1 << bit
        return is_new


class _EarlierTurns:
    """The turns of the export before this one, in the order of their ids, read as they are compared."""

    def __init__(self, store: ObjectStore, folder: str | None) -> None:
        self._lines = _lines_of(store, f"{folder}/turns.csv") if folder else None
        self._next: tuple[int, str] | None = None

    async def missing_before(self, log_id: int) -> list[str]:
        """The turns with a smaller id that were not asked for: they are withdrawn. Ids must ascend."""
        missing = []
        while (each := await self._peek()) is not None and each[0] <= log_id:
            if each[0] < log_id:
                missing.append(each[1])
            self._next = None
        return missing

    async def rest(self) -> list[str]:
        """The turns after the last id."""
        return await self.missing_before(1 << 63)

    async def _peek(self) -> tuple[int, str] | None:
        if self._next is None and self._lines is not None:
            async for line in self._lines:
                log_id, _, turn_id = line.partition(",")
                self._next = int(log_id), turn_id
                break
        return self._next


async def _lines_of(store: ObjectStore, key: str) -> AsyncIterator[str]:
    rest = b""
    found = await obstore.get_async(store, key)
    async for chunk in found.stream():
        *lines, rest = (rest + bytes(chunk)).split(b"\n")
        for line in lines:
            yield line.decode()


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    """A pair in OpenAI's format of direct preference optimisation."""
    return {
        "input": {"messages": [{"role": "user", "content": row["question"]}]},
        "preferred_output": [{"role": "assistant", "content": row["preferred"]}],
        "non_preferred_output": [{"role": "assistant", "content": row["rejected"]}],
    }


async def _page(until: datetime, after: int) -> dict[str, Any]:
    arguments = {"until": until.isoformat(), "after": after, "max_rows": _PAGE}
    page: dict[str, Any] = await supabase.rpc(
        "export_training_page", arguments, supabase.as_service(), timeout_seconds=30.0
    )
    return page


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
