"""The list of models people can choose from, read as the caller, with the last good list for bad days."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from shared import supabase
from shared.errors import DatabaseUnavailable

_COLUMNS = (
    "id,matcha_llm_id,model_name,model_key,provider,capabilities,pricing,identifier,"
    "is_active,is_default,display_order,created_at,last_synced_at"
)
_QUERY = f"llm_models?select={_COLUMNS}&is_active=is.true&order=display_order,id"
_BUNDLED = Path(__file__).with_name("bundled.json")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Active models by display order, as rows; `is_stale` when the database could not be asked."""

    models: list[dict[str, Any]]
    is_stale: bool = False

    def as_json(self) -> dict[str, Any]:
        """The answer of `GET /`."""
        synced = [m["last_synced_at"] for m in self.models if m.get("last_synced_at")]
        listed = [{k: v for k, v in m.items() if k not in {"created_at", "last_synced_at"}} for m in self.models]
        default = next((m["model_key"] for m in self.models if m["is_default"]), None)
        answer = {
            "models": listed,
            "defaultModel": default,
            "count": len(listed),
            "lastSynced": max(synced, default=None),
        }
        return answer | ({"stale": True} if self.is_stale else {})


class _LastGood:
    """The newest list this instance saw; until it saw one, the list it was shipped with."""

    models: list[dict[str, Any]] | None = None


async def read_catalogue(token: str) -> Catalogue:
    """The catalogue as the person behind `token` may see it; never asks a provider.

    Raises Unauthenticated when the database does not accept the token; a database that is down makes it stale instead.
    """
    try:
        _LastGood.models = await supabase.select(_QUERY, supabase.as_caller(token), timeout_seconds=3.0)
    except DatabaseUnavailable:
        return Catalogue(_LastGood.models or json.loads(_BUNDLED.read_text()), is_stale=True)
    return Catalogue(_LastGood.models or [])


def etag_of(answer: dict[str, Any]) -> str:
    """A strong validator of the answer's content."""
    return '"' + hashlib.sha256(json.dumps(answer, sort_keys=True).encode()).hexdigest()[:32] + '"'


def as_openai_model(row: dict[str, Any]) -> dict[str, Any]:
    """One model in the shape of OpenAI's list, with the fields OpenRouter made customary; prices in USD per token."""
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


def _per_token(pricing: dict[str, Any] | None) -> dict[str, str] | None:
    if pricing is None:
        return None
    names = {"input": "prompt", "output": "completion", "cached_input": "input_cache_read"}
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
