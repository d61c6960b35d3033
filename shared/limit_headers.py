"""Response headers of a turn: the model that serves it, and what is left of the user's limits."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

from shared.errors import BudgetExceeded, QuotaExceeded
from shared.routes import Route
from shared.turns import Turn


def route_headers(turn: Turn, route: Route) -> dict[str, str]:
    """The model that answers the turn, and the number of routes before it that did not answer."""
    # Model names may use any script, headers may not.
    identifier = quote(route.identifier, safe=":/@+., ")
    return {"X-Model": identifier, "X-Fallbacks": str(turn.routes.index(route))}


def limit_headers(turn: Turn) -> dict[str, str]:
    """Route, rate limit and budget headers; a limit that does not exist has no header."""
    headers = route_headers(turn, turn.routes[0])
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


def refusal_with_limits(refusal: QuotaExceeded | BudgetExceeded) -> QuotaExceeded | BudgetExceeded:
    """The same refusal with the limit headers of an admitted turn, for the limit that it names."""
    limits = refusal.metadata
    headers = dict(refusal.headers)
    if "limit" in limits:
        headers["x-ratelimit-limit-requests"] = str(limits["limit"])
        headers["x-ratelimit-remaining-requests"] = "0"
        headers["x-ratelimit-reset-requests"] = f"{round(refusal.retry_after_seconds or 0)}s"
    if "limit_usd" in limits:
        left = limits["limit_usd"] - limits["spent_usd"] - limits["reserved_usd"]
        headers["x-budget-remaining-usd"] = f"{max(0.0, left):.9f}"
    return type(refusal)(
        refusal.message,
        param=refusal.param,
        retry_after_seconds=refusal.retry_after_seconds,
        metadata=limits,
        headers=headers,
    )
