"""The JSON of a receipt and of a route, as every endpoint sends them."""

from __future__ import annotations

from typing import Any

from shared.records import fields_of
from shared.routes import Route
from shared.turns import Receipt, Turn


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """The receipt of the HTTP contract."""
    result, turn = receipt.result, receipt.result.turn
    return {
        "turn_id": turn.turn_id,
        "request_id": turn.request_id,
        "conversation_id": turn.conversation_id,
        "route": route_json(turn, result.route),
        "agents": list(result.agents),
        "tools_used": list(result.tools_used),
        "usage": fields_of(result.usage),
        "cost_usd": receipt.cost_usd,
        "duration_ms": result.duration_ms,
        "ttft_ms": result.ttft_ms,
        "logged": receipt.logged,
    }


def route_json(turn: Turn, route: Route) -> dict[str, Any]:
    """A route of the turn, why it was chosen, and the turn's other routes as its fallbacks."""
    return {
        "identifier": route.identifier,
        "provider": route.provider,
        "model": route.upstream_id,
        "node_id": route.node_id,
        "label": route.label,
        "reason": turn.reason,
        "fallbacks": [other.identifier for other in turn.routes if other is not route],
    }
