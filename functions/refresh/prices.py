"""A model's price: from its provider's list, else from genai-prices (offline), else from the table here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from genai_prices import data_snapshot
from genai_prices.types import TieredPrices

from functions.refresh.sources import HostOffer, Pricing, ProviderModel

HAND_WRITTEN: Final[Mapping[tuple[str, str], Pricing]] = {}
"""Prices that genai-prices lacks, by provider and upstream id; each with its source and the date of the check.

Checked on 2026-11-21: genai-prices has every seeded and every current model that has a price.
"""

_VERSION = re.compile(r"[-@:]((20)?\d{2}-?[01]\d-?[0-3]\d|[01]\d-20\d\d|[01]\d-[0-3]\d|\d{3,4}|latest|preview|exp)$")
_FIELDS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
}


def price_of(provider: str, model: ProviderModel) -> Pricing | None:
    """The model's pricing as the catalogue stores it; None when the price is unknown, never zero."""
    if model.pricing is not None:
        return model.pricing
    if model.offers:
        return _highest(model.upstream_id, model.offers)
    return _from_genai_prices(provider, model.upstream_id) or HAND_WRITTEN.get((provider, model.upstream_id))


def _highest(upstream_id: str, offers: tuple[HostOffer, ...]) -> Pricing | None:
    """The highest price of all hosts, because the router picks the host; None unless every host has a price."""
    rates = [offer.pricing or _from_genai_prices(f"huggingface_{offer.host}", upstream_id) for offer in offers]
    known = [rate for rate in rates if rate is not None]
    if len(known) < len(rates):
        return None
    return {name: max(rate[name] for rate in known) for name in ("input", "output")}


def _from_genai_prices(provider: str, upstream_id: str) -> Pricing | None:
    """The price in genai-prices today; None when it has none."""
    try:
        _, model = data_snapshot.get_snapshot().find_provider_model(upstream_id, None, provider, None)
        if not is_exactly(upstream_id, model):
            return None
        current = model.get_prices(datetime.now(UTC))
    except LookupError:
        return None
    prices = {name: getattr(current, field, None) for name, field in _FIELDS.items()}
    base = _rate(prices, 0)
    if base is None:
        return None
    starts = {tier.start for each in prices.values() if isinstance(each, TieredPrices) for tier in each.tiers}
    tiers = [{"above_input_tokens": start, **rate} for start in sorted(starts) if (rate := _rate(prices, start + 1))]
    return base | ({"tiers": tiers} if tiers else {})


def is_exactly(upstream_id: str, model: Any) -> bool:
    """Whether the entry of genai-prices is this model or a version of it; many entries match by a prefix only."""
    name = upstream_id.lower()
    names = {model.id.lower(), *(each.lower() for each in _names_in(model.match))}
    return (
        bool({name, _unversioned(name)} & {*names, *map(_unversioned, names)})
        or any(re.fullmatch(each, name) for each in _patterns_in(model.match))
        or (name.startswith("ft:") and any(each.startswith("ft:") for each in names))
    )


def _unversioned(name: str) -> str:
    """The name without the marks of a version: a date, a number of three or four digits, latest, preview."""
    while (shorter := _VERSION.sub("", name)) != name:
        name = shorter
    return name


def _names_in(clause: Any) -> Iterator[str]:
    for field in ("equals", "starts_with", "ends_with", "contains"):
        if text := getattr(clause, field, None):
            yield text.rstrip("-@")
    for each in (*getattr(clause, "or_", ()), *getattr(clause, "and_", ())):
        yield from _names_in(each)


def _patterns_in(clause: Any) -> Iterator[str]:
    """The regular expressions that describe a whole name."""
    pattern = getattr(clause, "regex", None)
    if isinstance(pattern, str) and pattern.startswith("^") and pattern.endswith("$"):
        yield pattern
    for each in getattr(clause, "or_", ()):
        yield from _patterns_in(each)


def _rate(prices: Mapping[str, Any], input_tokens: int) -> Pricing | None:
    """The prices at this number of input tokens; None when input or output is missing, or when all are zero."""
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
