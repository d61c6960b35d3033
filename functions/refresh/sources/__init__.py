"""Where models are listed: a row for each provider, in the order in which the catalogue takes them in."""

from __future__ import annotations

from functions.refresh.sources import anthropic, gemini, huggingface, matcha, openai
from functions.refresh.sources.fetching import Source, fetch
from functions.refresh.sources.listed import Listed, Offer, Pricing

__all__ = ["SOURCES", "Listed", "Offer", "Pricing", "Source", "fetch"]


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


SOURCES = (
    Source(
        provider="google",
        base_url="https://generativelanguage.googleapis.com",
        base_url_variable="GEMINI_BASE_URL",
        key_variable="GOOGLE_API_KEY",
        path="/v1/models",  # the version that chat calls: what only v1beta lists, it could not reach
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
    Source(
        provider="openai",
        base_url="https://api.openai.com/v1",
        base_url_variable="OPENAI_BASE_URL",
        key_variable="OPENAI_API_KEY",
        path="/models",
        headers=_bearer,
        read=openai.read,
    ),
    Source(
        provider="huggingface",
        base_url="https://router.huggingface.co/v1",
        base_url_variable="HF_BASE_URL",
        key_variable="HF_TOKEN",
        path="/models",
        headers=_bearer,
        read=huggingface.read,
    ),
    Source(
        provider="matcha",
        base_url="",
        base_url_variable="MATCHA_BASE_URL",
        key_variable="MATCHA_API_KEY",
        path="/llms",
        headers=lambda key: {"MATCHA-API-KEY": key},
        read=matcha.read,
        instead=matcha.from_table,
    ),
)
