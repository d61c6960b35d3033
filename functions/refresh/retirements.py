"""Retired and retiring models with their successors; written by hand, because most lists lack them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True)
class Retirement:
    """`replaced_by` is the successor's model_key; `retires_on` is None for a model that has retired already."""

    provider: str
    upstream_id: str
    retires_on: date | None
    replaced_by: str


# Source: the providers' deprecation pages (docs.claude.com, ai.google.dev), read 2026-11-21.
RETIREMENTS = (
    Retirement("anthropic", "claude-3-7-sonnet-20250219", None, "claude-sonnet-4-6"),
    Retirement("anthropic", "claude-3-5-sonnet-20241022", None, "claude-sonnet-4-6"),
    Retirement("anthropic", "claude-sonnet-4-20250514", None, "claude-sonnet-4-6"),
    Retirement("anthropic", "claude-opus-4-1-20250805", None, "claude-sonnet-4-6"),
    Retirement("google", "gemini-2.0-flash", None, "gemini-3-5-flash-lite"),
    Retirement("google", "gemini-2.5-flash", date(2026, 12, 1), "gemini-3-8-flash"),
)


def retirements_of(provider: str) -> list[dict[str, Any]]:
    """The retirements of one provider, as merge_models() takes them."""
    return [
        {
            "upstream_id": each.upstream_id,
            "retires_on": each.retires_on.isoformat() if each.retires_on else None,
            "replaced_by": each.replaced_by,
        }
        for each in RETIREMENTS
        if each.provider == provider
    ]
