"""What models can do where their provider's list does not tell, by what their names begin with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from genai_prices import data_snapshot

from functions.refresh.sources import ProviderModel

_ALL = {"supports_vision": True, "supports_tools": True, "supports_json": True}
_MULTIMODAL_CHAT = _ALL | {"max_output_tokens": 16_384}
_REASONING = {"supports_tools": True, "supports_json": True, "supports_temperature": False}

# Checked 2026-11-21. Gemini and gpt-4o: as the seed rows, whose models these families are. That the o and gpt-5 series
# take no temperature: explodinggradients/ragas pull 2418; labring/fastgpt-plugin pull 297 for gpt-5.1 and what the chat
# variants take. What is not known of a model is left out, which means unknown.
_KEPT: Final = (
    ("google", re.compile(r"gemini-"), _ALL),
    ("openai", re.compile(r"(ft:)?gpt-4o"), _MULTIMODAL_CHAT),
    ("openai", re.compile(r"(ft:)?gpt-4\.1"), _ALL | {"max_output_tokens": 32_768}),
    ("openai", re.compile(r"gpt-(5|5\.\d+)-chat|chatgpt-"), {"supports_vision": True}),
    ("openai", re.compile(r"o\d|gpt-[5-9]"), _REASONING),
)


def capabilities_of(provider: str, model: ProviderModel) -> Mapping[str, Any]:
    """What the list tells, over what is kept here, over the window that genai-prices knows."""
    kept = next((can for name, names, can in _KEPT if name == provider and names.match(model.upstream_id)), {})
    return {**_window(provider, model), **kept, **model.capabilities}


def _window(provider: str, model: ProviderModel) -> Mapping[str, Any]:
    if "context_window" in model.capabilities:
        return {}
    try:
        _, known = data_snapshot.get_snapshot().find_provider_model(model.upstream_id, None, provider, None)
    except LookupError:
        return {}
    return {"context_window": known.context_window} if known.context_window else {}
