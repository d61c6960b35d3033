"""The list of models that a user can choose, cached; while the database is down, it is the last list that was read."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from shared import supabase
from shared.errors import DatabaseUnavailable
from shared.provider_config import deployment, is_configured

_FRESH_SECONDS = 3.0  # then the next request reads the list again
_BUNDLED = Path(__file__).with_name("bundled.json")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The models by display order, and the body of `GET /` with its ETag."""

    models: list[dict[str, Any]]
    body: bytes
    etag: str


def catalogue_of(models: list[dict[str, Any]], *, is_stale: bool = False) -> Catalogue:
    """The catalogue of these rows; `is_stale` if the database was unreachable."""
    listed = [{k: v for k, v in m.items() if k not in {"created_at", "last_synced_at"}} for m in models]
    body: dict[str, Any] = {
        "models": listed,
        "defaultModel": next((m["model_key"] for m in models if m["is_default"]), None),
        "count": len(listed),
        "lastSynced": max((m["last_synced_at"] for m in models if m.get("last_synced_at")), default=None),
    }
    if is_stale:
        body["stale"] = True
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]
    return Catalogue(models, text, f'"{digest}"')


class CatalogueCache:
    """Caches the latest list of this instance; before the first one was read, it is the shipped list.

    All users get the same list, so one request reads it for all.
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] | None = None
        self._catalogue: Catalogue | None = None
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self, token: str) -> Catalogue:
        """The catalogue, from the cache or from the database; it is stale if the database is down.

        Raises Unauthenticated if the database rejects the token.
        """
        cached = self._catalogue
        if cached is not None and (self._is_fresh() or self._lock.locked()):
            return cached
        async with self._lock:  # without a cached list, requests wait for the one that reads
            if self._catalogue is None or not self._is_fresh():
                self._catalogue = await self._read(token)
                self._read_at = time.monotonic()
            return self._catalogue

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._read_at < _FRESH_SECONDS

    async def _read(self, token: str) -> Catalogue:
        try:
            menu = {"deployment": deployment()}
            self._rows = await supabase.rpc("model_menu", menu, supabase.as_caller(token), timeout_seconds=3.0)
        except DatabaseUnavailable:
            return catalogue_of(self._rows or shipped_models(), is_stale=True)
        return catalogue_of(self._rows or [])


def shipped_models() -> list[dict[str, Any]]:
    """The shipped models that this deployment can call, or all if it can call none; one of them is the default."""
    rows: list[dict[str, Any]] = json.loads(_BUNDLED.read_text())
    models = [row for row in rows if is_configured(row["provider"])]
    if not models and is_configured("matcha"):
        models = [row | {"identifier": f"matcha:{row['matcha_llm_id']}", "pricing": None} for row in rows]
    models = models or rows
    has_default = any(row["is_default"] for row in models)
    return [row | {"is_default": row["is_default"] if has_default else row is models[0]} for row in models]


catalogue_cache = CatalogueCache()


def as_openai_model(row: dict[str, Any]) -> dict[str, Any]:
    """One model in the shape of OpenAI's list, with the fields that OpenRouter added; prices in USD per token."""
    capabilities: dict[str, Any] = row["capabilities"] or {}
    created = row.get("created_at")
    return {
        "id": row["identifier"],
        "object": "model",
        "created": int(datetime.fromisoformat(created).timestamp()) if created else 0,
        "owned_by": row["provider"],
        "name": row["model_name"],
        "context_length": capabilities.get("context_window"),
        "pricing": _per_token(row["pricing"]),
        "supported_parameters": _parameters(capabilities),
    }


def as_anthropic_model(row: dict[str, Any]) -> dict[str, Any]:
    """One model in the shape of Anthropic's list."""
    capabilities: dict[str, Any] = row["capabilities"] or {}
    return {
        "type": "model",
        "id": row["identifier"],
        "display_name": row["model_name"],
        "created_at": row.get("created_at") or "1970-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": capabilities.get("context_window"),
        "max_tokens": capabilities.get("max_output_tokens"),
    }


def _per_token(pricing: dict[str, Any] | None) -> dict[str, str] | None:
    if pricing is None:
        return None
    names = {
        "input": "prompt",
        "output": "completion",
        "cached_input": "input_cache_read",
        "cache_write": "input_cache_write",
    }
    return {
        name: f"{(Decimal(str(pricing[ours])) / 1_000_000).normalize():f}"
        for ours, name in names.items()
        if ours in pricing
    }


def _parameters(capabilities: dict[str, Any]) -> list[str]:
    offered = ["max_tokens", "temperature"]
    if capabilities.get("supports_tools"):
        offered += ["tools", "tool_choice"]
    if capabilities.get("supports_json"):
        offered += ["response_format"]
    return offered
