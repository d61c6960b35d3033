"""The prices of models and their sources."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest
from genai_prices import data_snapshot
from genai_prices.types import ModelPrice

from functions.refresh import prices
from functions.refresh.prices import price_of
from functions.refresh.sources import HostOffer, ProviderModel

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def test_a_providers_own_price_comes_first() -> None:
    """With a price in the list, genai-prices is not used."""
    assert price_of("openai", ProviderModel("gpt-4o", pricing={"input": 1, "output": 2})) == {"input": 1, "output": 2}


def test_else_it_is_looked_up_with_its_tiers() -> None:
    """The tiers have the format of turn_cost(): each applies to prompts above its token count."""
    assert price_of("anthropic", ProviderModel("claude-sonnet-4-6")) == {
        "input": 3,
        "output": 15,
        "cached_input": 0.3,
        "cache_write": 3.75,
    }
    assert price_of("google", ProviderModel("gemini-2.5-pro")) == {
        "input": 1.25,
        "output": 10,
        "cached_input": 0.125,
        "tiers": [{"above_input_tokens": 200_000, "input": 2.5, "output": 15, "cached_input": 0.25}],
    }


def test_an_unknown_price_is_null_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown model or provider has a null price, unless the table in the module has one."""
    assert price_of("openai", ProviderModel("gpt-9-nonsense")) is None
    assert price_of("nobody", ProviderModel("gpt-4o")) is None
    assert price_of("matcha", ProviderModel("28")) is None
    kept = {"input": 1, "output": 2}
    monkeypatch.setattr(prices, "HAND_WRITTEN", {("openai", "gpt-9-nonsense"): kept})
    assert price_of("openai", ProviderModel("gpt-9-nonsense")) == kept


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("google", "gemini-2.5-pro-preview-05-06"),
        ("google", "gemini-2.5-flash-preview-09-2025"),
        ("google", "gemini-2.5-flash-lite"),
        ("google", "gemini-flash-latest"),
        ("anthropic", "claude-haiku-4-5-20251001"),
        ("anthropic", "claude-3-5-haiku-latest"),
        ("anthropic", "claude-opus-5-20260910"),
        ("openai", "gpt-4o-2024-11-20"),
        ("openai", "gpt-5-mini"),
    ],
)
def test_versions_of_a_model_have_its_price(provider: str, name: str) -> None:
    """A date, a preview and `latest` name the same model."""
    assert price_of(provider, ProviderModel(name)) is not None


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("google", "gemini-2.5-pro-max"),
        ("google", "gemini-3.8-flash-guard"),
        ("anthropic", "claude-haiku-4-5-turbo"),
        ("anthropic", "claude-opus-4-6-fast"),
        ("openai", "gpt-5-nano-plus"),
        ("openai", "gpt-4.5-preview-vision"),
    ],
)
def test_no_model_has_the_price_of_a_neighbour(provider: str, name: str) -> None:
    """A longer name is another model, whose price is unknown."""
    assert price_of(provider, ProviderModel(name)) is None


def test_a_looked_up_price_of_zero_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that genai-prices lists with 0 for input and output has no price."""
    model = SimpleNamespace(
        id="gpt-4o", match=None, get_prices=lambda _: ModelPrice(input_mtok=Decimal(0), output_mtok=Decimal(0))
    )
    snapshot = SimpleNamespace(find_provider_model=lambda *_: (None, model))
    monkeypatch.setattr(data_snapshot, "get_snapshot", lambda: snapshot)
    assert price_of("openai", ProviderModel("gpt-4o")) is None


def test_a_router_costs_what_its_dearest_host_takes() -> None:
    """The price is the highest of all hosts; it is unknown while one host's price is unknown."""
    cheap, dear = (
        HostOffer("novita", {"input": 0.02, "output": 0.1}),
        HostOffer("cerebras", {"input": 0.1, "output": 0.05}),
    )
    assert price_of("huggingface", ProviderModel(LLAMA, offers=(cheap, dear))) == {"input": 0.1, "output": 0.1}
    assert price_of("huggingface", ProviderModel(LLAMA, offers=(cheap, HostOffer("unheard-of")))) is None
    assert price_of("huggingface", ProviderModel(LLAMA, offers=(HostOffer("novita"),))) == {
        "input": 0.02,
        "output": 0.05,
    }
