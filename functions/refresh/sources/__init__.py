"""The model lists: one source for each provider, in the order of the merge."""

from __future__ import annotations

from functions.refresh.sources import anthropic, gemini, huggingface, matcha, openai
from functions.refresh.sources.fetching import Source, fetch
from functions.refresh.sources.listed import HostOffer, Pricing, ProviderModel
from shared.provider_config import OPENAI_COMPATIBLE, PROVIDERS, ProviderConfig

__all__ = ["SOURCES", "HostOffer", "Pricing", "ProviderModel", "Source", "fetch"]


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


_GOOGLE, _ANTHROPIC, _MATCHA = PROVIDERS["google"], PROVIDERS["anthropic"], PROVIDERS["matcha"]
_READERS = {"openai": openai.read, "huggingface": huggingface.read}


def _host(host: ProviderConfig) -> Source:
    """The source of a registry row; every listed model counts, unless the host has its own reader."""
    return Source(
        provider=host.name,
        base_url=host.base_url,
        base_url_variable=host.base_url_variable,
        key_variable=host.key_variable,
        path="/models",
        headers=_bearer,
        read=_READERS.get(host.name, openai.read_any),
    )


SOURCES = (
    Source(
        provider=_GOOGLE.name,
        base_url=_GOOGLE.base_url,
        base_url_variable=_GOOGLE.base_url_variable,
        key_variable=_GOOGLE.key_variable,
        path="/v1/models",  # the version that chat calls; chat cannot call models that only v1beta lists
        query={"pageSize": "1000"},
        headers=lambda key: {"x-goog-api-key": key},
        read=gemini.read,
        after=gemini.after,
    ),
    Source(
        provider=_ANTHROPIC.name,
        base_url=_ANTHROPIC.base_url,
        base_url_variable=_ANTHROPIC.base_url_variable,
        key_variable=_ANTHROPIC.key_variable,
        path="/v1/models",
        query={"limit": "1000"},
        headers=lambda key: _bearer(key) | {"anthropic-version": "2026-10-21"},
        read=anthropic.read,
        after=anthropic.after,
    ),
    *(_host(host) for host in OPENAI_COMPATIBLE if not host.is_node),
    Source(
        provider=_MATCHA.name,
        base_url=_MATCHA.base_url,
        base_url_variable=_MATCHA.base_url_variable,
        key_variable=_MATCHA.key_variable,
        path="/llms",
        headers=lambda key: {"MATCHA-API-KEY": key},
        read=matcha.read,
        fallback=matcha.from_table,
    ),
)
