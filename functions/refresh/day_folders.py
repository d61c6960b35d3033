"""The folders of days in an export, `<folder>/day=YYYY-MM-DD/`: a day with a manifest is complete."""

from __future__ import annotations

import obstore
from obstore.store import ObjectStore

from shared.object_store import store_errors


async def complete_days(store: ObjectStore, folder: str, manifest: str) -> set[str]:
    """The days that have a manifest of this name. Raises DependencyDown."""
    async with store_errors("export store"):
        return {
            meta["path"].split("=")[1].split("/")[0]
            async for chunk in obstore.list(store, f"{folder}/")
            for meta in chunk
            if meta["path"].endswith(f"/{manifest}")
        }
