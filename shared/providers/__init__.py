"""The registry: every provider by the name that stands before the colon of a model identifier."""

from __future__ import annotations

from shared.errors import ProviderUnavailable
from shared.providers.contract import ListedModel, Provider
from shared.providers.openai_compatible import Host, OpenAiCompatible

__all__ = ["HOSTS", "ListedModel", "Provider", "provider_named"]

HOSTS = (
    Host("openai", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY"),
    Host("huggingface", "https://router.huggingface.co/v1", "HF_BASE_URL", "HF_TOKEN"),
    Host("client"),
)
"""OpenAI-compatible hosts: adding one is adding its row here."""

_PROVIDERS: dict[str, Provider] = {host.name: OpenAiCompatible(host) for host in HOSTS}


def provider_named(name: str) -> Provider:
    """The provider, or ProviderUnavailable for one this deployment does not speak."""
    if name not in _PROVIDERS:
        raise ProviderUnavailable(f"The provider {name} is not available in this deployment.")
    return _PROVIDERS[name]
