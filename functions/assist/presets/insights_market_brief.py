"""A market today: what moves it."""

from __future__ import annotations

from functions.assist.preset import HOUR_SECONDS, Preset
from functions.assist.presets.insight import RULES, Insight, InsightInput

MARKET_BRIEF = Preset(
    "market-brief",
    ("/insights/market-brief",),
    "A market today: what moves it.",
    "You are a market analyst. Describe the market and what moves it, with regard to the keywords." + RULES,
    InsightInput,
    Insight,
    ttl_seconds=24 * HOUR_SECONDS,
    is_public=True,
)
