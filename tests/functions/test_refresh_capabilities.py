"""Capabilities of models whose provider does not list them."""

from __future__ import annotations

import pytest

from functions.refresh.capabilities import capabilities_of
from functions.refresh.sources import ProviderModel


@pytest.mark.parametrize(
    ("provider", "upstream_id", "vision", "tools"),
    [
        ("google", "gemini-9-flash", True, True),
        ("openai", "gpt-4o-2024-08-06", True, True),
        ("openai", "ft:gpt-4.1:acme::x", True, True),
        ("openai", "o3", None, True),
        ("openai", "gpt-5-chat-latest", True, None),
        ("openai", "text-embedding-3-small", None, None),
        ("huggingface", "gpt-4o", None, None),
    ],
)
def test_a_family_has_the_capabilities_of_its_name(
    provider: str, upstream_id: str, vision: bool | None, tools: bool | None
) -> None:
    """Only the provider's own families count; a capability that is not known is left out."""
    found = capabilities_of(provider, ProviderModel(upstream_id))
    assert (found.get("supports_vision"), found.get("supports_tools")) == (vision, tools)


def test_what_the_provider_lists_wins() -> None:
    """A listed capability overrides the one of the family, and a listed window the one of the price list."""
    listed = {"supports_tools": False, "context_window": 5}
    found = capabilities_of("openai", ProviderModel("gpt-4o", None, listed))
    assert (found["supports_tools"], found["context_window"], found["supports_vision"]) == (False, 5, True)


def test_reasoning_models_take_no_temperature() -> None:
    """The o series and gpt-5 have supports_temperature false."""
    assert [
        capabilities_of("openai", ProviderModel(name))["supports_temperature"] for name in ("o3", "gpt-5-mini")
    ] == [
        False,
        False,
    ]


def test_later_reasoning_models_are_called_by_responses() -> None:
    """gpt-5.4 and later reject tools with an effort at chat completions; an operator's own value is kept by refresh."""
    names = (
        "gpt-5",
        "gpt-5.1",
        "gpt-5-mini",
        "o3",
        "gpt-5.4",
        "gpt-5.4-mini",
        "gpt-5.5",
        "gpt-5.10",
        "gpt-6",
        "gpt-5.4-chat",
    )
    found = [name for name in names if capabilities_of("openai", ProviderModel(name)).get("supports_responses")]
    assert found == ["gpt-5.4", "gpt-5.4-mini", "gpt-5.5", "gpt-5.10", "gpt-6"]
