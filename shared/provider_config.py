"""The providers of models: one row each, and which of them this deployment can call.

It is separate from the provider clients, so that functions that only list models do not import them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Final

from shared.config import Settings, settings
from shared.variables import PROVIDER_NAMES

_COMMON = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed")


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One provider: its variables, its base URL, and its default model.

    `other_variables` must be set beside the key. `key_prefixes` are how its keys usually begin. `limit_field` is its
    name for the maximum of output tokens, None unless the provider speaks OpenAI's chat completions. `parameters` are
    those that its API takes, by OpenAI's names, and `max_stops` is how many stop sequences it takes.
    """

    name: str
    key_variable: str = ""
    base_url: str = ""
    base_url_variable: str = ""
    default_model: str = ""
    model_variable: str = ""
    key_prefixes: tuple[str, ...] = ("",)
    other_variables: tuple[str, ...] = ()
    limit_field: str | None = "max_tokens"
    parameters: tuple[str, ...] = _COMMON
    max_stops: int = 4

    @property
    def is_node(self) -> bool:
        """Whether this row is for client nodes, whose base URLs and keys are in the database."""
        return not self.key_variable

    @property
    def required_variables(self) -> tuple[str, ...]:
        """The variables without which the provider cannot be called, its key first; none for client nodes."""
        return () if self.is_node else (self.key_variable, *self.other_variables)

    @property
    def current_base_url(self) -> str:
        """The base URL of this deployment. Raises NotConfigured when its variable has a wrong value."""
        return settings().checked(self.base_url_variable, self.base_url)

    @property
    def current_model(self) -> str:
        """The model of turns that name none, for this deployment."""
        return settings().get(self.model_variable, self.default_model)


_ROWS = (
    ProviderConfig(
        "google",
        "GOOGLE_API_KEY",
        "https://generativelanguage.googleapis.com",
        "GEMINI_BASE_URL",
        "gemini-2.5-flash-lite",
        "GEMINI_MODEL",
        ("AIza", "AQ."),
        limit_field=None,
        parameters=("temperature", "top_p", "top_k", "seed"),  # Gemini 2.5 and later reject penalties with 400
        max_stops=5,
    ),
    ProviderConfig(
        "anthropic",
        "ANTHROPIC_API_KEY",
        "https://api.anthropic.com",
        "ANTHROPIC_BASE_URL",
        "claude-haiku-4-5-20251001",
        "CLAUDE_MODEL",
        ("sk-ant-",),
        limit_field=None,
        parameters=("reasoning_effort",),  # API 2026-10-21 rejects sampling parameters with 400
        max_stops=64,
    ),
    ProviderConfig(
        "openai",
        "OPENAI_API_KEY",
        "https://api.openai.com/v1",
        "OPENAI_BASE_URL",
        "gpt-4o-mini",
        "OPENAI_MODEL",
        ("sk-",),
        limit_field="max_completion_tokens",
        parameters=(
            *_COMMON,
            "logit_bias",
            "reasoning_effort",
            "verbosity",
            "service_tier",
            "prompt_cache_key",
        ),
    ),
    ProviderConfig(
        "huggingface",
        "HF_TOKEN",
        "https://router.huggingface.co/v1",
        "HF_BASE_URL",
        "meta-llama/Llama-3.1-8B-Instruct",
        "HF_MODEL",
        ("hf_",),
    ),
    ProviderConfig(
        "matcha",
        "MATCHA_API_KEY",
        base_url_variable="MATCHA_BASE_URL",
        default_model="28",
        model_variable="MATCHA_MODEL",
        other_variables=("MATCHA_BASE_URL", "MATCHA_MISSION_ID"),
        limit_field=None,
        parameters=(),
        max_stops=64,
    ),
    ProviderConfig("client", parameters=(*_COMMON, "top_k", "min_p", "logit_bias", "reasoning_effort"), max_stops=16),
)
PROVIDERS: Final[dict[str, ProviderConfig]] = {row.name: row for row in _ROWS}
"""Every provider by name, in the order in which their default models replace each other.

A host with OpenAI's chat completions needs only its row here.
"""
KEYED_PROVIDERS: Final = tuple(row for row in _ROWS if not row.is_node)
"""The providers that are configured by variables."""
OPENAI_COMPATIBLE: Final = tuple(row for row in _ROWS if row.limit_field)
"""The providers with OpenAI's chat completions, client nodes included."""


def is_configured(name: str) -> bool:
    """Whether the provider exists and all its required variables are set."""
    return name in PROVIDERS and all(settings().get(variable) for variable in PROVIDERS[name].required_variables)


def configured_providers() -> tuple[str, ...]:
    """The names of all providers that this deployment can call."""
    return tuple(name for name in PROVIDERS if is_configured(name))


def chosen_default(environ: Settings) -> tuple[str, str] | None:
    """The provider and model that LLM_PROVIDER chooses; None when it is unset.

    Raises NotConfigured for an unknown name.
    """
    name = environ.checked("LLM_PROVIDER").lower()
    if not name:
        return None
    provider = PROVIDERS[PROVIDER_NAMES[name]]
    return provider.name, environ.get(provider.model_variable, provider.default_model)


def deployment() -> dict[str, Any]:
    """What the database needs to choose a model that this deployment can call.

    `providers`: the names of configured providers, and client. `defaults`: `{provider, model, is_chosen}` of each
    provider with a key, the one that LLM_PROVIDER chooses first.
    """
    return _deployment_of(settings())


@functools.lru_cache(maxsize=1)
def _deployment_of(environ: Settings) -> dict[str, Any]:
    chosen = PROVIDER_NAMES.get(environ.get("LLM_PROVIDER").lower())
    defaults = [
        {"provider": each.name, "model": each.current_model, "is_chosen": each.name == chosen}
        for each in KEYED_PROVIDERS
        if is_configured(each.name)
    ]
    return {"providers": configured_providers(), "defaults": sorted(defaults, key=lambda each: not each["is_chosen"])}


def advice() -> str | None:
    """Which variables to set so that a model can be called; None when a provider is configured."""
    if any(is_configured(each.name) for each in KEYED_PROVIDERS):
        return None
    ways = [_together(*each.required_variables) for each in KEYED_PROVIDERS]
    return f"No provider is configured: set {', '.join(ways[:-1])}, or {ways[-1]}."


def _together(key: str, *others: str) -> str:
    return f"{key} with {' and '.join(others)}" if others else key
