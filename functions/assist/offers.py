"""GET /presets: what there is, with schemas, and what the last answers cost."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from functions.assist.preset import Bundle, Offer
from functions.assist.presets import OFFERS, PRESETS
from functions.assist.request import presets_of
from shared import ledger_calls, supabase
from shared.auth import authenticate


async def list_presets(request: Request) -> Response:
    """GET /presets: every preset and bundle. Raises Unauthenticated, DatabaseUnavailable."""
    await authenticate(request, "models")
    costs = await ledger_calls.call("preset_costs", {"presets": list(PRESETS)}, supabase.as_service)
    return JSONResponse({"presets": [offer_json(offer) | {"costs": _costs(offer, costs)} for offer in OFFERS.values()]})


def offer_json(offer: Offer) -> dict[str, Any]:
    """A preset as clients see it. A bundle's output has the fields of all parts, each null when its part failed."""
    parts = presets_of(offer)
    return {
        "name": offer.name,
        "paths": list(offer.paths) or [f"/{offer.name}"],
        "summary": offer.summary,
        "parts": [part.name for part in parts] if isinstance(offer, Bundle) else [],
        "version": {part.name: part.version for part in parts} if isinstance(offer, Bundle) else parts[0].version,
        "ttl_seconds": min(part.ttl_seconds for part in parts),
        "scope": "public" if all(part.is_public for part in parts) else "user",
        "input": offer.input.model_json_schema(),
        "output": output_schema(offer),
    }


def output_schema(offer: Offer) -> dict[str, Any]:
    """The JSON Schema of the answer's fields."""
    parts = presets_of(offer)
    if not isinstance(offer, Bundle):
        return dict(parts[0].schema)
    schema: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "$defs": {}}
    for part in parts:
        schema["properties"] |= {
            name: {"anyOf": [each, {"type": "null"}]} for name, each in part.schema["properties"].items()
        }
        schema["required"] += part.schema["required"]
        schema["$defs"] |= part.schema.get("$defs", {})
    return schema


def _costs(offer: Offer, costs: dict[str, Any]) -> dict[str, Any]:
    """Mean cost in USD of the last hundred answers: the parts' means together; null when one is unknown."""
    found = [costs.get(part.name) or {"answers": 0, "mean_usd": None} for part in presets_of(offer)]
    means = [each["mean_usd"] for each in found]
    known = [mean for mean in means if mean is not None]
    return {
        "answers": min(each["answers"] for each in found),
        "mean_usd": sum(known) if len(known) == len(means) else None,
    }
