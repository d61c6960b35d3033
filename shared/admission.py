"""Admission of a turn for a function: the ledger's refusals with limit headers, and the response to a dry run."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from shared import ledger
from shared.auth import Person
from shared.errors import BudgetExceeded, QuotaExceeded, TurnInProgress
from shared.limit_headers import refusal_with_limits
from shared.routes import Route
from shared.turns import Quote, Turn, TurnRequest

_PAUSES: Final = (0.15, 0.3, 0.5)  # seconds


async def admit(person: Person, turn_request: TurnRequest) -> Turn:
    """The admitted turn, after the end of the user's own turn before it if that ends within a second.

    Raises what `ledger.begin` raises; QuotaExceeded and BudgetExceeded have limit headers.
    """
    pauses = iter(_PAUSES)
    while True:
        try:
            return await ledger.begin(person, turn_request)
        except (QuotaExceeded, BudgetExceeded) as refusal:
            raise refusal_with_limits(refusal) from None
        except TurnInProgress as running:  # a client that stops an answer may send the next question before its end
            pause = next(pauses, None) if running.metadata.get("yours") else None
            if pause is None:
                raise
            await asyncio.sleep(pause)


def dry_run_json(turn: Turn) -> dict[str, Any]:
    """The route with its fallbacks, the estimated tokens, the range of the cost, and what is left of the limits."""
    routes = [
        {"identifier": r.identifier, "provider": r.provider, "model": r.upstream_id, "node_id": r.node_id}
        for r in turn.routes
    ]
    limits = turn.limits
    return {
        "route": routes[0] | {"reason": turn.reason, "fallbacks": [r["identifier"] for r in routes[1:]]},
        "estimate": _estimate_json(turn.quote, turn.routes[0]) if turn.quote else None,
        "limits": {
            "requests_remaining": limits.requests_remaining,
            "requests_reset_at": limits.requests_reset_at,
            "budget_remaining_usd": limits.budget_remaining_usd,
        }
        if limits
        else None,
    }


def _estimate_json(quote: Quote, route: Route) -> dict[str, Any]:
    """The estimated tokens, and the range of the cost; null when the route has no known price."""
    cost = {"least": quote.least_usd, "most": quote.reserve_usd} if route.pricing else None
    return {"input_tokens": quote.input_tokens, "max_output_tokens": route.max_output_tokens, "cost_usd": cost}
