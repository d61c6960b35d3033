"""The registry: provider clients by name, the part of a model identifier before the colon."""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections.abc import Iterable
from typing import Final

from shared.errors import ProviderUnavailable
from shared.messages import Node
from shared.per_loop import PerLoop
from shared.provider_config import OPENAI_COMPATIBLE, PROVIDERS
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
"""Providers with an SDK. Its import takes 0.5 to 1 s, so the first turn that needs it loads it."""

_NODES = OpenAiCompatible(PROVIDERS["client"])
_PROVIDERS: dict[str, Provider] = {host.name: OpenAiCompatible(host) for host in OPENAI_COMPATIBLE} | {
    "matcha": Matcha()
}
_loads: PerLoop[dict[str, asyncio.Future[None]]] = PerLoop(dict)


async def provider_named(name: str, timeout_seconds: float | None = None) -> Provider:
    """The provider's client.

    Raises ProviderUnavailable for an unknown name, TimeoutError when its SDK is not loaded in time.
    """
    if name not in _PROVIDERS and name in SDKS:
        await asyncio.wait_for(asyncio.shield(_loading(name)), timeout_seconds)
    if name not in _PROVIDERS:
        raise ProviderUnavailable(f"The provider {name} is not available in this deployment.")
    return _PROVIDERS[name]


def _loading(name: str) -> asyncio.Future[None]:
    """The load of an SDK, one for all who wait for it. It runs in a thread, so other turns continue meanwhile."""
    loads = _loads()

    def end(done: asyncio.Future[None]) -> None:
        del loads[name]
        if not done.cancelled():
            done.exception()  # all who waited may have left, and asyncio would log what none of them took

    if name not in loads:
        loads[name] = asyncio.ensure_future(asyncio.to_thread(_load, name))
        loads[name].add_done_callback(end)
    return loads[name]


async def list_node(node: Node) -> list[ListedModel]:
    """The models of a client node; refresh lists those of providers itself. Raises NodeFailed."""
    return await _NODES.list_models(node)


def load_sdks(names: Iterable[str]) -> None:
    """Loads SDKs before the first turn, for hosts that give a function time to start."""
    for name in names:
        if name in SDKS:
            _load(name)


def _load(name: str) -> None:
    module, provider = SDKS[name]
    # An import creates no garbage, and collection takes a quarter of its time. A call turns the collector on again only
    # if it was on before: the first of two concurrent calls does, a call during a cold start does not.
    was_on = gc.isenabled()
    gc.disable()
    try:
        _PROVIDERS[name] = getattr(importlib.import_module(module), provider)()
    finally:
        if was_on:
            gc.enable()
