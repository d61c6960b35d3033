"""What to advertise, to whom and how."""

from __future__ import annotations

from functions.assist.preset import HOUR_SECONDS, Preset
from functions.assist.presets.insight import RULES, Insight, InsightInput

AD_INSIGHT = Preset(
    "ad-insight",
    ("/insights/ad-insight",),
    "What to advertise, to whom and how.",
    "You plan advertising. Find messages, audiences and channels for the market, with regard to the keywords." + RULES,
    InsightInput,
    Insight,
    ttl_seconds=6 * HOUR_SECONDS,
    is_public=True,
)
