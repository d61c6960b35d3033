"""The roll-up by hand: what `usage_hourly` has to hold for the rows of the log, computed in Python."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC
from typing import Any

from tests.stack.turns import Database

Key = tuple[Any, ...]
Sums = dict[Any, Any]
"""The sums of one key by column; those of histograms by (column, element). Zeros are left out."""
KEYS = ("hour", "user_id", "provider", "model_identifier", "agent_type", "endpoint")
_MODEL_FAULTS = {"answer_cut", "output_invalid", "model_unavailable", "node_failed"}
_MODEL_FAULTS |= {f"provider_{end}" for end in ("error", "auth_failed", "overloaded", "unreachable", "timeout")}
_LIMITS = {"budget_exceeded", "quota_exceeded", "too_many_turns"}
_CLIENT = {"invalid_request", "validation_failed", "context_exceeded", "context_length_exceeded", "provider_refused"}
_CLIENT |= {"model_not_found", "body_too_large"}


def bucket(ms: int | None) -> int:
    """The element of a histogram: 1 up to 10 ms, each next one 25 % wider, 52 at most; 0 for None."""
    if ms is None:
        return 0
    number = 1
    while number < 52 and ms > 10 * 1.25 ** (number - 1):
        number += 1
    return number


def percentile_bounds(values: Iterable[int], share: float) -> tuple[float, float]:
    """The bucket, in milliseconds, in which the value at this share lies."""
    ordered = sorted(values)
    value = ordered[max(math.ceil(share * len(ordered)), 1) - 1]
    number = bucket(value)
    return (0.0 if number == 1 else 10 * 1.25 ** (number - 2), 10 * 1.25 ** (number - 1))


def _error_column(row: dict[str, Any]) -> str | None:
    code = row["error_code"]
    if row["status"] not in {"failed", "partial"} or code is None:
        return None
    if code in _MODEL_FAULTS:
        return "errors"
    if code == "turn_timeout":
        return "timeout_errors"
    return "limit_errors" if code in _LIMITS else "client_errors" if code in _CLIENT else "other_errors"


def counts_of(row: dict[str, Any]) -> Sums:
    """What one log row adds."""
    rating = row["rating"] or 0
    is_handoff = row["escalation_suggested"]
    has_failed = len(row["attempts"]) > 1 and any(each.get("ok") is False for each in row["attempts"])
    domain, asked = row["domain_classification"], row["asked_agent"]
    numbers = {name: row[name] or 0 for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")}
    numbers |= {name: row[name] or 0 for name in row if name.endswith("cost_usd")}
    sums: Sums = numbers | {
        "requests": 1,
        row["status"]: 1,
        "unpriced_requests": row["cost_usd"] is None,
        "estimated_requests": row["usage_source"] in {"partial", "estimate"},
        "duration_ms_sum": row["duration_ms"] or 0,
        "ttft_ms_sum": row["ttft_ms"] or 0,
        "ttft_count": row["ttft_ms"] is not None,
        "fallbacks": row["status"] == "completed" and has_failed,
        "handoffs": is_handoff,
        "cached_answers": row["saved_usd"] is not None,
        "saved_usd": row["saved_usd"] or 0,
        "ratings": rating > 0,
        "rating_sum": rating,
        "rating_square_sum": rating**2,
        "good_ratings": rating > 3,
        "rated_handoffs": is_handoff and rating > 0,
        "good_handoffs": is_handoff and rating > 3,
        "classified": domain is not None,
        "classified_right": domain is not None and (not is_handoff if asked is None else asked == domain),
        ("duration_histogram", bucket(row["duration_ms"])): 1,
        ("ttft_histogram", bucket(row["ttft_ms"])): 1,
    }
    sums.pop("completed", None)
    if error := _error_column(row):
        sums[error] = 1
    return sums


def _key_of(row: dict[str, Any]) -> Key:
    hour = row["created_at"].astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return (hour, row["user_id"], *(row[name] or "" for name in KEYS[2:]))


def logged(db: Database, model: str) -> dict[Key, Sums]:
    """The sums of the log rows of a model, by key."""
    found: dict[Key, Counter[Any]] = defaultdict(Counter)
    for row in db.execute("select * from public.chat_logs where model_identifier = %s", [model]):
        for name, value in counts_of(row).items():
            found[_key_of(row)][name] += value
    return {key: {name: value for name, value in sums.items() if value} for key, sums in found.items()}


def counted(db: Database, model: str) -> dict[Key, Sums]:
    """The rows of the roll-up of a model, by key; rows without a user are summed."""
    histograms = ("duration_histogram", "ttft_histogram")
    query = f"""select *, {", ".join(f"array_lower({name}, 1) as {name}_first" for name in histograms)}
                from public.usage_hourly where model_identifier = %s"""
    found: dict[Key, Counter[Any]] = defaultdict(Counter)
    for row in db.execute(query, [model]):
        sums = found[(row["hour"].astimezone(UTC), *(row[name] for name in KEYS[1:]))]
        for name, value in row.items():
            if name in histograms:
                for place, each in enumerate(value, row[f"{name}_first"] or 0):
                    sums[name, place] += each or 0
            elif name not in {*KEYS, "id"} and not name.endswith("_first"):
                sums[name] += value
    return {key: {name: value for name, value in sums.items() if value} for key, sums in found.items()}


def assert_agrees(db: Database, model: str) -> dict[Key, Sums]:
    """The roll-up of a model, which must be what its log adds up to."""
    sums = counted(db, model)
    wanted = logged(db, model)
    assert sums == wanted, [
        (key, sums.get(key), wanted.get(key)) for key in sums.keys() | wanted if sums.get(key) != wanted.get(key)
    ]
    return sums
