"""Part of the step `export`: writes finished days of the log as Parquet files to EXPORT_URL.

`ledger/day=YYYY-MM-DD/` holds part-0000.parquet and so on, and, last, _manifest.json. A day that changes later is
written again. Memory does not grow with the number of rows: a file has at most `PART_ROWS`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.store import ObjectStore

from functions.refresh.day_folders import complete_days
from shared import supabase
from shared.object_store import store_errors, store_of

if TYPE_CHECKING:
    from types import ModuleType

    from arro3.core import RecordBatch

FORMAT: Final = 1
PART_ROWS = 20_000
_PAGE = 2_000
_SECONDS = 120.0  # the next run writes the days that are left
_FOLDER = "ledger"
_MANIFEST = "_manifest.json"  # engines skip names that begin with an underscore


async def write_days() -> dict[str, int]:
    """Counts of written `days` and `rows`, and of days that are `left` for the next run.

    Raises NotConfigured, DependencyDown (the store), DatabaseUnavailable.
    """
    store = store_of("EXPORT_URL")
    known = await complete_days(store, _FOLDER, _MANIFEST)
    pending = await _rpc("lake_days", {"known": sorted(known)})
    deadline = time.monotonic() + _SECONDS
    counts = {"days": 0, "rows": 0, "left": len(pending)}
    for each in pending:
        if time.monotonic() > deadline:
            break
        counts["rows"] += await _write_day(store, each["day"])
        # Last: when anything before fails, the next run writes the day again.
        if each["changes"]:
            await _rpc("lake_written", {"changes": each["changes"]})
        counts["days"] += 1
        counts["left"] -= 1
    return counts


async def _write_day(store: ObjectStore, day: str) -> int:
    """The number of rows that were written. A day without rows loses its files."""
    folder, parquet = f"{_FOLDER}/day={day}", _parquet()
    files: list[dict[str, Any]] = []
    batches: list[RecordBatch] = []
    after: dict[str, int] = {}
    is_last = False
    while not is_last:
        page = await _rpc("lake_page", {"of_day": day, "max_rows": _PAGE} | after)
        is_last = len(page) < _PAGE
        if page:
            batches.append(parquet.batch_of(page))
            last = dict(zip(parquet.COLUMNS, page[-1], strict=True))
            after = {"after_us": last["created_at"], "after_id": last["id"]}
        if batches and (is_last or len(batches) * _PAGE >= PART_ROWS):
            files.append(await _write_part(store, f"{folder}/part-{len(files):04}.parquet", batches))
            batches = []
    await _remove_others(store, folder, {each["name"] for each in files} | ({_MANIFEST} if files else set()))
    rows: int = sum(each["rows"] for each in files)
    if files:
        manifest = {
            "format": FORMAT,
            "day": day,
            "created_at": datetime.now(UTC).isoformat(),
            "rows": rows,
            "columns": list(parquet.COLUMNS),
            "files": files,
        }
        await _put(store, f"{folder}/{_MANIFEST}", json.dumps(manifest, separators=(",", ":")).encode())
    return rows


async def _write_part(store: ObjectStore, key: str, batches: list[RecordBatch]) -> dict[str, Any]:
    """The file's line in the manifest."""
    data: bytes = _parquet().file_of(batches)
    await _put(store, key, data)
    return {
        "name": key.rsplit("/", 1)[1],
        "rows": sum(batch.num_rows for batch in batches),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _parquet() -> ModuleType:
    """The writer, with the library that it loads: only a run that writes a day needs it."""
    return importlib.import_module("functions.refresh.parquet")


async def _put(store: ObjectStore, key: str, data: bytes) -> None:
    async with store_errors("export store"):
        await obstore.put_async(store, key, data)


async def _remove_others(store: ObjectStore, folder: str, kept: set[str]) -> None:
    """Removes the files of an earlier, longer version of the day."""
    async with store_errors("export store"):
        paths = [meta["path"] async for chunk in obstore.list(store, f"{folder}/") for meta in chunk]
        if extra := [path for path in paths if path.rsplit("/", 1)[1] not in kept]:
            await obstore.delete_async(store, extra)


async def _rpc(name: str, arguments: dict[str, Any]) -> Any:
    return await supabase.rpc(name, arguments, supabase.as_service(), timeout_seconds=30.0)
