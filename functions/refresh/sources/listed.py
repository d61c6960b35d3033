"""A model as its provider lists it, and the checks that every reader applies to the provider's JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from shared.providers.provider_errors import PARSE_ERRORS
from shared.sanitize import sanitize_text

Pricing = dict[str, Any]
"""US dollars per million tokens: {input, output, cached_input?, cache_write?, tiers?: [{above_input_tokens, …}]}."""

_MAX_CHARACTERS: Final = 200
_MAX_TOKENS: Final = 100_000_000
_MAX_USD: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class HostOffer:
    """One host that serves a model behind a router; `pricing` is None when the router lists no price."""

    host: str
    pricing: Pricing | None = None


@dataclass(frozen=True, slots=True)
class ProviderModel:
    """A chat-capable model in a provider's list; None and absent capabilities mean that the list has no value.

    With `is_addable` False the model is updated in the catalogue but never added, such as a dated snapshot.
    """

    upstream_id: str
    name: str | None = None
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    pricing: Pricing | None = None
    offers: tuple[HostOffer, ...] = ()
    retires_on: date | None = None
    is_addable: bool = True


def entries(listed: Any) -> Iterator[dict[str, Any]]:
    """The objects in a list; other items are skipped. Raises TypeError when it is not a list."""
    if not isinstance(listed, list):
        raise TypeError("no list of models")
    return (entry for entry in listed if isinstance(entry, dict))


def read_each(listed: Any, read: Callable[[dict[str, Any]], ProviderModel | None]) -> list[ProviderModel]:
    """The models that `read` returns, with usable ids. An invalid entry is skipped, and the others are kept."""
    found = []
    for entry in entries(listed):
        with suppress(*PARSE_ERRORS):
            model = read(entry)
            if model is not None and is_name(model.upstream_id):
                found.append(model)
    return found


def is_name(text: Any) -> bool:
    """Whether the text can be a model's id, which becomes part of an identifier and of URLs."""
    return isinstance(text, str) and text.isprintable() and 0 < len(text) <= _MAX_CHARACTERS and text == text.strip()


def title(text: Any) -> str | None:
    """A display name that the database accepts; None for other values."""
    if not isinstance(text, str):
        return None
    return sanitize_text(" ".join(text.split()))[:_MAX_CHARACTERS] or None


def known(**values: Any) -> dict[str, Any]:
    """The capabilities that have a value of the right type."""
    return {name: value for name, value in values.items() if _is_capability(name, value)}


def _is_capability(name: str, value: Any) -> bool:
    if name.startswith("supports_"):
        return isinstance(value, bool)
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_TOKENS


def price(usd: Any) -> float | int | None:
    """US dollars per million tokens; None when the value is not a price."""
    is_number = isinstance(usd, int | float) and not isinstance(usd, bool)
    return usd if is_number and math.isfinite(usd) and 0 <= usd <= _MAX_USD else None


def without_duplicates(models: Iterable[ProviderModel]) -> list[ProviderModel]:
    """The models in their order, each id once; the first entry of an id counts."""
    by_id: dict[str, ProviderModel] = {}
    for model in models:
        by_id.setdefault(model.upstream_id, model)
    return list(by_id.values())
