"""Reads the token counts of all providers, which differ in what a count includes."""

from __future__ import annotations

from typing import Any

from shared.events import Usage

MAX_TOKENS = 100_000_000  # more than any model has; larger counts do not fit the ledger


def parse_usage(
    input_tokens: Any,
    output_tokens: Any,
    cached: Any = None,
    reasoning: Any = None,
    total: Any = None,
    *,
    written: Any = None,
    is_reasoning_apart: bool = False,
) -> Usage | None:
    """The counts as Usage, with cached tokens in the input and reasoning in the output; None without any count.

    `written` are the input tokens that the provider wrote to its cache.
    A single missing or wrong count is 0, which the meter estimates. The total decides whether cached and reasoning
    tokens come on top of the other counts; without one they do when they are larger, or `is_reasoning_apart`.
    """
    if _count(input_tokens) is None and _count(output_tokens) is None:
        return None
    taken, given, hit, thought, whole = (
        _count(each) or 0 for each in (input_tokens, output_tokens, cached, reasoning, total)
    )
    if not taken and whole > given:
        taken = whole - given
    rest = whole - taken - given
    if rest < 0:  # no total, or one that cannot be
        taken += hit if hit > taken else 0
        given += thought if is_reasoning_apart or thought > given else 0
    elif hit and rest in {hit, hit + thought} and rest != thought:
        taken, given = taken + hit, given + rest - hit
    else:  # also a rest that no count names: some hosts leave reasoning out of the output
        given += rest
    taken, given = min(taken, MAX_TOKENS), min(given, MAX_TOKENS)
    hit = min(hit, taken)
    return Usage(taken, given, hit, min(thought, given), cache_write_tokens=min(_count(written) or 0, taken - hit))


def read_usage(usage: Any) -> Usage | None:
    """The counts of an OpenAI-compatible host, by any of their names; None if missing or wrong."""
    if not isinstance(usage, dict):
        return None
    inputs = _details(usage, "prompt_tokens_details", "input_tokens_details")
    outputs = _details(usage, "completion_tokens_details", "output_tokens_details")
    cached = (usage.get(name) for name in ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens"))
    return parse_usage(
        _first(usage.get("prompt_tokens"), usage.get("input_tokens")),
        _first(usage.get("completion_tokens"), usage.get("output_tokens")),
        _first(inputs.get("cached_tokens"), *cached),
        _first(outputs.get("reasoning_tokens"), usage.get("reasoning_tokens")),
        usage.get("total_tokens"),
        written=_first(inputs.get("cache_write_tokens"), usage.get("cache_creation_input_tokens")),
    )


def _count(claimed: Any) -> int | None:
    """The count; None for what is none. Some hosts write whole numbers as 12.0."""
    if isinstance(claimed, float) and claimed.is_integer():
        claimed = int(claimed)
    return claimed if isinstance(claimed, int) and not isinstance(claimed, bool) and claimed >= 0 else None


def _first(*claims: Any) -> Any:
    """The first claim that counts something, else the first that is there."""
    found = None
    for each in claims:
        if _count(each):
            return each
        found = each if found is None else found
    return found


def _details(usage: dict[str, Any], *names: str) -> dict[str, Any]:
    return next((found for name in names if isinstance(found := usage.get(name), dict)), {})
