"""Openings in a market."""

from __future__ import annotations

from functions.assist.preset import HOUR_SECONDS, Preset
from functions.assist.presets.insight import RULES, Insight, InsightInput

OPPORTUNITY_RADAR = Preset(
    "opportunity-radar",
    ("/insights/opportunity-radar",),
    "Openings in a market.",
    "You look for opportunities. Find openings in the market that few use yet, with regard to the keywords." + RULES,
    InsightInput,
    Insight,
    ttl_seconds=24 * HOUR_SECONDS,
    is_public=True,
)
