"""Risks in a market."""

from __future__ import annotations

from functions.assist.preset import HOUR_SECONDS, Preset
from functions.assist.presets.insight import RULES, Insight, InsightInput

RISK_SENTINEL = Preset(
    "risk-sentinel",
    ("/insights/risk-sentinel",),
    "Risks in a market.",
    "You watch risks. Find what may go wrong in the market, with regard to the keywords, and "
    "name the most likely and most harmful first." + RULES,
    InsightInput,
    Insight,
    ttl_seconds=12 * HOUR_SECONDS,
    is_public=True,
)
