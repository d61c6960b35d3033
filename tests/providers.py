"""Every provider against the scripted upstream: how it is configured, and a route to a model that behaves as named."""

from __future__ import annotations

import itertools
from typing import Any

from shared.events import Route
from tests.upstream import Upstream, matcha_id

STREAMING = ("google", "anthropic", "openai", "huggingface", "client")
PROVIDERS = (*STREAMING, "matcha")
KEYS = {
    "GOOGLE_API_KEY": "key-of-google",
    "ANTHROPIC_API_KEY": "key-of-anthropic",
    "OPENAI_API_KEY": "key-of-openai",
    "HF_TOKEN": "key-of-huggingface",
    "MATCHA_API_KEY": "key-of-matcha",
}
PRICING = {"input": 1, "output": 2, "cached_input": 0.5}
_ADDRESSES = {
    "GEMINI_BASE_URL": "google",
    "ANTHROPIC_BASE_URL": "anthropic",
    "OPENAI_BASE_URL": "openai",
    "HF_BASE_URL": "huggingface",
    "MATCHA_BASE_URL": "matcha",
}
_numbers = itertools.count(1)


def variables(upstream: Upstream) -> dict[str, str]:
    """The environment in which every provider is the scripted one."""
    addresses = {variable: upstream.url(provider) for variable, provider in _ADDRESSES.items()}
    return {**KEYS, **addresses, "MATCHA_MISSION_ID": "3", "ALLOW_PRIVATE_NODES": "1"}


def named(kind: str, provider: str) -> str:
    """A model name of that kind which no other test uses; for MatchAI its number."""
    name = f"{kind}~{next(_numbers)}"
    return str(matcha_id(name)) if provider == "matcha" else name


def route_to(provider: str, kind: str, upstream: Upstream, **changes: Any) -> Route:
    """A route to a model of that kind, able to do all that its provider can."""
    model = named(kind, provider)
    is_node = provider == "client"
    fields: dict[str, Any] = {
        "identifier": f"client:7:{model}" if is_node else f"{provider}:{model}",
        "provider": provider,
        "upstream_id": model,
        "max_output_tokens": 1000,
        "node_id": 7 if is_node else None,
        "base_url": upstream.url("client") if is_node else None,
        "pricing": PRICING,
        "capabilities": {"supports_tools": True, "supports_json": provider != "matcha"},
    }
    return Route(**(fields | changes))
