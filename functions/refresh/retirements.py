"""Models whose end is announced or past, and what takes their place; kept by hand, because no list tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True)
class Retirement:
    """`replaced_by` is the model_key of the successor; `retires_on` None when the day is not known, but the end is."""

    provider: str
    upstream_id: str
    retires_on: date | None
    replaced_by: str


# As the providers' deprecation pages (docs.claude.com, ai.google.dev) had it on 2026-11-21; of those that have retired
# already only the fact is kept, not the day.
RETIREMENTS = (
    Retirement("anthropic", "claude-3-7-sonnet-20250219", None, "claude-sonnet-4-6"),
    Retirement("anthropic", "claude-3-5-sonnet-20241022", None, "claude-sonnet-4-6"),
    Retirement("anthropic", "claude-sonnet-4-20250514", None, "claude-sonnet-4-6"),
    Retirement("anthropic", "claude-opus-4-1-20250805", None, "claude-sonnet-4-6"),
    Retirement("google", "gemini-2.0-flash", None, "gemini-3-5-flash-lite"),
    Retirement("google", "gemini-2.5-flash", date(2026, 12, 1), "gemini-3-8-flash"),
)


def retirements_of(provider: str) -> list[dict[str, Any]]:
    """Those of one provider, as merge_models takes them."""
    return [
        {
            "upstream_id": each.upstream_id,
            "retires_on": each.retires_on.isoformat() if each.retires_on else None,
            "replaced_by": each.replaced_by,
        }
        for each in RETIREMENTS
        if each.provider == provider
    ]
