"""Anthropic's list: `GET /v1/models`, paged by `last_id`; pure readers of its JSON."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Any

from functions.refresh.sources.listed import ProviderModel, known, read_each, title


def read(page: Any) -> list[ProviderModel]:
    """The models of one page; all of them are chat models."""
    return read_each(page["data"], _listed)


def after(page: Any) -> dict[str, str] | None:
    """The query of the next page; None after the last page."""
    return {"after_id": str(page["last_id"])} if page.get("has_more") is True else None


def _listed(entry: dict[str, Any]) -> ProviderModel:
    capabilities = known(
        context_window=entry.get("max_input_tokens"),
        max_output_tokens=entry.get("max_tokens"),
        supports_vision=_supported(entry, "image_input"),
        supports_files=_supported(entry, "pdf_input"),
        supports_json=_supported(entry, "structured_outputs"),
        supports_tools=True,
        supports_temperature=False,  # API version 2026-10-21 answers 400 to sampling parameters
    )
    return ProviderModel(
        entry.get("id", ""), title(entry.get("display_name")), capabilities, retires_on=_retirement(entry)
    )


def _supported(entry: dict[str, Any], ability: str) -> Any:
    capabilities = entry.get("capabilities")
    value = capabilities.get(ability) if isinstance(capabilities, dict) else None
    return value.get("supported") if isinstance(value, dict) else None


def _retirement(entry: dict[str, Any]) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(str(entry.get("retires_at"))[:10])
    return None
