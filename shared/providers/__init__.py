"""The registry: every provider by the name that stands before the colon of a model identifier."""

from __future__ import annotations

import asyncio
import gc
import importlib
from collections.abc import Iterable
from typing import Final

from shared.config import settings
from shared.errors import ProviderUnavailable
from shared.events import Node
from shared.providers.contract import ListedModel, Provider
from shared.providers.matcha import Matcha
from shared.providers.openai_compatible import Host, OpenAiCompatible

__all__ = [
    "HOSTS",
    "SDKS",
    "VARIABLES",
    "ListedModel",
    "Provider",
    "configured",
    "is_configured",
    "list_node",
    "load_sdks",
    "provider_named",
]

HOSTS = (
    Host("openai", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY", "max_completion_tokens"),
    Host("huggingface", "https://router.huggingface.co/v1", "HF_BASE_URL", "HF_TOKEN"),
    Host("client"),
)
"""OpenAI-compatible hosts: adding one is adding its row here."""

SDKS: Final = {
    "google": ("shared.providers.gemini", "Gemini"),
    "anthropic": ("shared.providers.anthropic", "Anthropic"),
}
"""Providers over an SDK, which takes half a second to a second to load: only when a turn needs it."""

VARIABLES: Final[dict[str, tuple[str, ...]]] = {
    **{host.name: (host.key_variable,) if host.key_variable else () for host in HOSTS},
    "google": ("GOOGLE_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "matcha": ("MATCHA_API_KEY", "MATCHA_BASE_URL", "MATCHA_MISSION_ID"),
}
"""What must be set before a provider can be called, its key first; nothing for client nodes, whose rows say it all."""

_NODES = OpenAiCompatible(next(host for host in HOSTS if host.is_node))
_PROVIDERS: dict[str, Provider] = {host.name: OpenAiCompatible(host) for host in HOSTS} | {"matcha": Matcha()}


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


def is_configured(name: str) -> bool:
    """Whether this deployment speaks the provider and has all that it takes to call it."""
    return name in VARIABLES and all(settings().get(variable) for variable in VARIABLES[name])


def configured() -> tuple[str, ...]:
    """All providers that can be called here."""
    return tuple(name for name in VARIABLES if is_configured(name))


def load_sdks(names: Iterable[str]) -> None:
    """Loads SDKs before the first turn needs them, for hosts that give a function time to start."""
    for name in names:
        if name in SDKS:
            _load(name)


def _load(name: str) -> None:
    module, provider = SDKS[name]
    gc.disable()  # nothing of an SDK is garbage, and looking for some is a quarter of the time
    try:
        _PROVIDERS[name] = getattr(importlib.import_module(module), provider)()
    finally:
        gc.enable()
