"""What a caller is told of an admitted turn besides the answer itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from shared.errors import BudgetExceeded, QuotaExceeded
from shared.routes import Route
from shared.turns import Turn


def route_headers(route: Route, fallbacks: int) -> dict[str, str]:
    """Which model serves, and how many routes were passed over before it."""
    # Models may be named in any script, headers may not.
    return {"X-Model": quote(route.identifier, safe=":/@+., "), "X-Fallbacks": str(fallbacks)}


def limit_headers(turn: Turn) -> dict[str, str]:
    """Route, rate-limit and budget headers; a cap that does not exist has no header."""
    headers = route_headers(turn.routes[0], 0)
    if turn.replay is not None:
        headers["Idempotent-Replayed"] = "true"
    limits = turn.limits
    if limits is None:
        return headers
    if limits.requests_limit is not None:
        headers["x-ratelimit-limit-requests"] = str(limits.requests_limit)
        headers["x-ratelimit-remaining-requests"] = str(max(0, limits.requests_remaining or 0))
        seconds = (datetime.fromisoformat(limits.requests_reset_at) - datetime.now(UTC)).total_seconds()
        headers["x-ratelimit-reset-requests"] = f"{max(0, round(seconds))}s"
    if limits.budget_remaining_usd is not None:
        headers["x-budget-remaining-usd"] = f"{limits.budget_remaining_usd:.9f}"
    return headers


def with_limits(refusal: QuotaExceeded | BudgetExceeded) -> QuotaExceeded | BudgetExceeded:
    """The refusal with the headers that an admitted turn would have had: nothing is left, and when there is again."""
    told = refusal.metadata
    if "limit" in told:
        refusal.headers["x-ratelimit-limit-requests"] = str(told["limit"])
        refusal.headers["x-ratelimit-remaining-requests"] = "0"
        refusal.headers["x-ratelimit-reset-requests"] = f"{round(refusal.retry_after_seconds or 0)}s"
    if "limit_usd" in told:
        left = told["limit_usd"] - told["spent_usd"] - told["reserved_usd"]
        refusal.headers["x-budget-remaining-usd"] = f"{max(0.0, left):.9f}"
    return refusal


def dry_run_answer(turn: Turn) -> dict[str, Any]:
    """The route with its fallbacks, estimated tokens and cost range, and what is left; nothing was called or stored."""
    routes = [
        {"identifier": r.identifier, "provider": r.provider, "model": r.upstream_id, "node_id": r.node_id}
        for r in turn.routes
    ]
    limits = turn.limits
    return {
        "route": routes[0] | {"reason": turn.reason, "fallbacks": [r["identifier"] for r in routes[1:]]},
        "estimate": {
            "input_tokens": turn.plan["input_tokens_estimate"],
            "max_output_tokens": turn.routes[0].max_output_tokens,
            "cost_usd": {"least": turn.plan["least_usd"], "most": turn.plan["reserve_usd"]}
            if turn.routes[0].pricing
            else None,
        },
        "limits": {
            "requests_remaining": limits.requests_remaining,
            "requests_reset_at": limits.requests_reset_at,
            "budget_remaining_usd": limits.budget_remaining_usd,
        }
        if limits
        else None,
    }
