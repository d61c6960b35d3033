"""The registry: every provider by the name that stands before the colon of a model identifier."""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections.abc import Iterable
from typing import Final

from shared.errors import ProviderUnavailable
from shared.messages import Node
from shared.provider_config import OPENAI_COMPATIBLE
from shared.providers.contract import ListedModel, Provider
from shared.providers.matcha import Matcha
from shared.providers.openai_compatible import OpenAiCompatible

__all__ = [
    "SDKS",
    "ListedModel",
    "Provider",
    "list_node",
    "load_sdks",
    "provider_named",
]

SDKS: Final = {
    "google": ("shared.providers.gemini", "Gemini"),
    "anthropic": ("shared.providers.anthropic", "Anthropic"),
}
"""Providers over an SDK, which takes half a second to a second to load: only when a turn needs it."""

_NODES = OpenAiCompatible(next(host for host in OPENAI_COMPATIBLE if host.is_node))
_PROVIDERS: dict[str, Provider] = {host.name: OpenAiCompatible(host) for host in OPENAI_COMPATIBLE} | {
    "matcha": Matcha()
}


async def provider_named(name: str) -> Provider:
    """The provider, or ProviderUnavailable for one this deployment does not speak."""
    if name not in _PROVIDERS and name in SDKS:
        await asyncio.to_thread(_load, name)  # other turns go on meanwhile
    if name not in _PROVIDERS:
        raise ProviderUnavailable(f"The provider {name} is not available in this deployment.")
    return _PROVIDERS[name]


async def list_node(node: Node) -> list[ListedModel]:
    """What a client node serves; what providers list, refresh reads by itself. Raises NodeFailed."""
    return await _NODES.list_models(node)


def load_sdks(names: Iterable[str]) -> None:
    """Loads SDKs before the first turn needs them, for hosts that give a function time to start."""
    for name in names:
        if name in SDKS:
            _load(name)


def _load(name: str) -> None:
    module, provider = SDKS[name]
    # Nothing of an SDK is garbage, and looking for some is a quarter of the time. Whoever found the collector on puts
    # it back: of two that load at once the first, and during a start none.
    was_on = gc.isenabled()
    gc.disable()
    try:
        _PROVIDERS[name] = getattr(importlib.import_module(module), provider)()
    finally:
        if was_on:
            gc.enable()
