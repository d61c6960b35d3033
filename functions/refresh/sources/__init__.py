"""The model lists: one source for each provider, in the order of the merge."""

from __future__ import annotations

from functions.refresh.sources import anthropic, gemini, huggingface, matcha, openai
from functions.refresh.sources.fetching import Source, fetch
from functions.refresh.sources.listed import HostOffer, Pricing, ProviderModel
from shared.provider_config import OPENAI_COMPATIBLE, Host

__all__ = ["SOURCES", "HostOffer", "Pricing", "ProviderModel", "Source", "fetch"]


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


_READERS = {"openai": openai.read, "huggingface": huggingface.read}


def _host(host: Host) -> Source:
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
        provider="google",
        base_url="https://generativelanguage.googleapis.com",
        base_url_variable="GEMINI_BASE_URL",
        key_variable="GOOGLE_API_KEY",
        path="/v1/models",  # the version that chat calls; chat cannot call models that only v1beta lists
        query={"pageSize": "1000"},
        headers=lambda key: {"x-goog-api-key": key},
        read=gemini.read,
        after=gemini.after,
    ),
    Source(
        provider="anthropic",
        base_url="https://api.anthropic.com",
        base_url_variable="ANTHROPIC_BASE_URL",
        key_variable="ANTHROPIC_API_KEY",
        path="/v1/models",
        query={"limit": "1000"},
        headers=lambda key: _bearer(key) | {"anthropic-version": "2026-10-21"},
        read=anthropic.read,
        after=anthropic.after,
    ),
    *(_host(host) for host in OPENAI_COMPATIBLE if not host.is_node),
    Source(
        provider="matcha",
        base_url="",
        base_url_variable="MATCHA_BASE_URL",
        key_variable="MATCHA_API_KEY",
        path="/llms",
        headers=lambda key: {"MATCHA-API-KEY": key},
        read=matcha.read,
        fallback=matcha.from_table,
    ),
)
