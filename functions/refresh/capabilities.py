"""The capabilities of models whose provider does not list them, by the start of the model's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from genai_prices import data_snapshot

from functions.refresh.sources import ProviderModel

_ALL = {"supports_vision": True, "supports_tools": True, "supports_json": True}
_MULTIMODAL_CHAT = _ALL | {"max_output_tokens": 16_384}
_REASONING = {"supports_tools": True, "supports_json": True, "supports_temperature": False}

# Checked 2026-11-21. Gemini and gpt-4o: the same as their seed rows. The o and gpt-5 series reject a temperature:
# explodinggradients/ragas pull 2418; gpt-5.1 and the chat variants: labring/fastgpt-plugin pull 297. A capability that
# is left out is unknown.
_BY_NAME: Final = (
    ("google", re.compile(r"gemini-"), _ALL | {"supports_files": True}),
    ("openai", re.compile(r"(ft:)?gpt-4o"), _MULTIMODAL_CHAT),
    ("openai", re.compile(r"(ft:)?gpt-4\.1"), _ALL | {"max_output_tokens": 32_768}),
    ("openai", re.compile(r"gpt-(5|5\.\d+)-chat|chatgpt-"), {"supports_vision": True}),
    ("openai", re.compile(r"gpt-5\.([4-9]|\d\d)|gpt-[6-9]"), _REASONING | {"supports_responses": True}),
    ("openai", re.compile(r"o\d|gpt-[5-9]"), _REASONING),
)


def capabilities_of(provider: str, model: ProviderModel) -> Mapping[str, Any]:
    """The provider's list overrides the table here; the table overrides the context window of genai-prices."""
    by_name = next((can for name, names, can in _BY_NAME if name == provider and names.match(model.upstream_id)), {})
    return {**_context_window(provider, model), **by_name, **model.capabilities}


def _context_window(provider: str, model: ProviderModel) -> Mapping[str, Any]:
    if "context_window" in model.capabilities:
        return {}
    try:
        _, known = data_snapshot.get_snapshot().find_provider_model(model.upstream_id, None, provider, None)
    except LookupError:
        return {}
    return {"context_window": known.context_window} if known.context_window else {}
