"""Which providers a deployment can call, and the order of their default models."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.config import Settings
from shared.errors import NotConfigured
from shared.provider_config import KEYED_PROVIDERS, advice, chosen_default, configured_providers, deployment

MATCHA = {"MATCHA_API_KEY": "k", "MATCHA_BASE_URL": "https://matcha.example", "MATCHA_MISSION_ID": "3"}


@pytest.mark.parametrize(
    ("variables", "model"),
    [
        ({}, None),
        ({"GEMINI_MODEL": "gemini-9"}, None),
        ({"LLM_PROVIDER": "gemini"}, ("google", "gemini-2.5-flash-lite")),
        ({"LLM_PROVIDER": "google"}, ("google", "gemini-2.5-flash-lite")),
        ({"LLM_PROVIDER": " Claude "}, ("anthropic", "claude-haiku-4-5-20251001")),
        ({"LLM_PROVIDER": "anthropic", "CLAUDE_MODEL": "claude-9"}, ("anthropic", "claude-9")),
        ({"LLM_PROVIDER": "openai"}, ("openai", "gpt-4o-mini")),
        ({"LLM_PROVIDER": "openai", "OPENAI_MODEL": "gpt-9"}, ("openai", "gpt-9")),
        ({"LLM_PROVIDER": "huggingface", "HF_MODEL": "a/b:c"}, ("huggingface", "a/b:c")),
        ({"LLM_PROVIDER": "hf"}, ("huggingface", "meta-llama/Llama-3.1-8B-Instruct")),
        ({"LLM_PROVIDER": "matcha"}, ("matcha", "28")),
        ({"LLM_PROVIDER": "MatchAI", "MATCHA_MODEL": "40"}, ("matcha", "40")),
    ],
)
def test_llm_provider_accepts_both_names_of_a_provider(
    variables: dict[str, str], model: tuple[str, str] | None
) -> None:
    """LLM_PROVIDER chooses the provider; the provider's model variable overrides its default model."""
    assert chosen_default(Settings(variables)) == model


def test_an_unknown_provider_is_an_error_with_the_known_names() -> None:
    """A typing mistake in LLM_PROVIDER raises NotConfigured."""
    with pytest.raises(NotConfigured, match="google, gemini, anthropic, claude, openai"):
        chosen_default(Settings({"LLM_PROVIDER": "gemni"}))


def test_every_provider_that_needs_a_key_has_a_default_model() -> None:
    """A turn that names no model needs a default model of its provider."""
    assert all(each.default_model and each.model_variable for each in KEYED_PROVIDERS)


def test_the_deployment_names_providers_with_a_key_and_their_models(environ: Callable[..., None]) -> None:
    """Defaults are in the order of the table, the provider of LLM_PROVIDER first."""
    environ(GOOGLE_API_KEY="k", OPENAI_API_KEY="k", OPENAI_MODEL="gpt-9", LLM_PROVIDER="openai", MATCHA_API_KEY="k")
    assert set(deployment()["providers"]) == set(configured_providers()) == {"google", "openai", "client"}
    assert deployment()["defaults"] == [
        {"provider": "openai", "model": "gpt-9", "is_chosen": True},
        {"provider": "google", "model": "gemini-2.5-flash-lite", "is_chosen": False},
    ]
    environ(**MATCHA, LLM_PROVIDER="nonsense")
    assert [each["provider"] for each in deployment()["defaults"]] == ["google", "openai", "matcha"]


def test_without_a_provider_the_advice_names_the_variables(environ: Callable[..., None]) -> None:
    """The advice lists the variables to set; it is None once one provider is configured."""
    assert advice() == (
        "No provider is configured: set GOOGLE_API_KEY, ANTHROPIC_API_KEY, OPENAI_API_KEY, HF_TOKEN, "
        "or MATCHA_API_KEY with MATCHA_BASE_URL and MATCHA_MISSION_ID."
    )
    environ(**MATCHA)
    assert advice() is None
