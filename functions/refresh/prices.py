"""What a model costs: as its provider tells, else as genai-prices knows (offline), else as kept here by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from genai_prices import data_snapshot
from genai_prices.types import TieredPrices

from functions.refresh.sources import HostOffer, Pricing, ProviderModel

KEPT: Final[Mapping[tuple[str, str], Pricing]] = {}
"""By provider and upstream id, what genai-prices does not know yet; each with its source and the day it was checked.

Checked on 2026-11-21: of the seeds' and today's models it knows all that have a price.
"""

_FIELDS = {"input": "input_mtok", "output": "output_mtok", "cached_input": "cache_read_mtok"}


def price_of(provider: str, model: ProviderModel) -> Pricing | None:
    """The model's pricing as the catalogue keeps it; None when nobody knows, never zero for that."""
    if model.pricing is not None:
        return model.pricing
    if model.offers:
        return _dearest(model.upstream_id, model.offers)
    return _known(provider, model.upstream_id) or KEPT.get((provider, model.upstream_id))


def _dearest(upstream_id: str, offers: tuple[HostOffer, ...]) -> Pricing | None:
    """What the dearest host takes, for the router picks one: known only when every host's price is."""
    rates = [offer.pricing or _known(f"huggingface_{offer.host}", upstream_id) for offer in offers]
    told = [rate for rate in rates if rate is not None]
    if len(told) < len(rates):
        return None
    return {name: max(rate[name] for rate in told) for name in ("input", "output")}


def _known(provider: str, upstream_id: str) -> Pricing | None:
    """What genai-prices says today."""
    try:
        _, model = data_snapshot.get_snapshot().find_provider_model(upstream_id, None, provider, None)
        told = model.get_prices(datetime.now(UTC))
    except LookupError:
        return None
    prices = {name: getattr(told, field, None) for name, field in _FIELDS.items()}
    base = _rate(prices, 0)
    if base is None:
        return None
    starts = {tier.start for each in prices.values() if isinstance(each, TieredPrices) for tier in each.tiers}
    tiers = [{"above_input_tokens": start, **rate} for start in sorted(starts) if (rate := _rate(prices, start + 1))]
    return base | ({"tiers": tiers} if tiers else {})


def _rate(prices: Mapping[str, Any], input_tokens: int) -> Pricing | None:
    """The prices for so many input tokens; None without both directions, or when all of it is said to be free."""
    rate = {name: usd for name, each in prices.items() if (usd := _at(each, input_tokens)) is not None}
    if "input" not in rate or "output" not in rate or not any(rate.values()):
        return None
    return rate


def _at(price: Decimal | TieredPrices | None, input_tokens: int) -> float | int | None:
    if isinstance(price, TieredPrices):
        reached = [tier.price for tier in price.tiers if tier.start < input_tokens]
        price = reached[-1] if reached else price.base
    if price is None:
        return None
    return int(price) if price == price.to_integral_value() else float(price)
