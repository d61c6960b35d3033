"""MatchAI's list: `GET {base}/llms` where the platform has it, else the five models of the seed."""

from __future__ import annotations

from typing import Any

from functions.refresh.sources.listed import ProviderModel, known, read_each, title

# No list of the platform was seen yet (2026-11-21), so the two usual formats and field names are read.
_LISTS = ("llms", "data", "models")

TABLE = (
    (28, "Claude 3.7 Sonnet"),
    (25, "Claude 3.5 Sonnet"),
    (30, "Claude Opus 4.1"),
    (35, "Gemini 2.5 Flash-Lite"),
    (40, "GPT-4o"),
)
"""The platform's numbers of the models that every project starts with."""

_CAPABILITIES = known(supports_tools=False, supports_json=False, supports_vision=False)


def read(page: Any) -> list[ProviderModel]:
    """The platform's models, by number."""
    listed = page if isinstance(page, list) else next((page[name] for name in _LISTS if name in page), None)
    return read_each(listed, _listed)


def from_table() -> list[ProviderModel]:
    """The models that are known without a list."""
    return [ProviderModel(str(number), name, _CAPABILITIES) for number, name in TABLE]


def _listed(entry: dict[str, Any]) -> ProviderModel | None:
    number = entry.get("id", entry.get("llm_id"))
    name = title(entry.get("name", entry.get("model_name")))
    is_number = isinstance(number, int) and not isinstance(number, bool) and 0 < number < 10**9
    return ProviderModel(str(number), name, _CAPABILITIES) if is_number else None
