"""Who serves models: every provider by the name in its identifiers, and what this deployment can call.

Apart from how each is spoken to, which a function that only lists models does not need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from shared.config import Settings, settings
from shared.variables import PROVIDER_NAMES


@dataclass(frozen=True, slots=True)
class Host:
    """One row: where a host lives, which variables configure it. A client node has neither: its calls say where.

    `limit_field` is what the host calls the most tokens it may answer with.
    """

    name: str
    base_url: str = ""
    base_url_variable: str = ""
    key_variable: str = ""
    limit_field: str = "max_tokens"

    @property
    def is_node(self) -> bool:
        return not self.base_url


OPENAI_COMPATIBLE = (
    Host("openai", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY", "max_completion_tokens"),
    Host("huggingface", "https://router.huggingface.co/v1", "HF_BASE_URL", "HF_TOKEN"),
    Host("client"),
)
"""OpenAI-compatible hosts: adding one is adding its row here."""

VARIABLES: Final[dict[str, tuple[str, ...]]] = {
    **{host.name: (host.key_variable,) if host.key_variable else () for host in OPENAI_COMPATIBLE},
    "google": ("GOOGLE_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "matcha": ("MATCHA_API_KEY", "MATCHA_BASE_URL", "MATCHA_MISSION_ID"),
}
"""What must be set before a provider can be called, its key first; nothing for client nodes, whose rows say it all."""


@dataclass(frozen=True, slots=True)
class Default:
    """The model of a provider that a turn without a model gets: `variable` names it, else it is `model`."""

    variable: str
    model: str


DEFAULTS: Final[dict[str, Default]] = {
    "google": Default("GEMINI_MODEL", "gemini-2.5-flash-lite"),
    "anthropic": Default("CLAUDE_MODEL", "claude-haiku-4-5-20251001"),
    "openai": Default("OPENAI_MODEL", "gpt-4o-mini"),
    "huggingface": Default("HF_MODEL", "meta-llama/Llama-3.1-8B-Instruct"),
    "matcha": Default("MATCHA_MODEL", "28"),
}
"""Every provider that needs a key, in the order in which they stand in for each other."""


def is_configured(name: str) -> bool:
    """Whether this deployment knows the provider and has all that it takes to call it."""
    return name in VARIABLES and all(settings().get(variable) for variable in VARIABLES[name])


def configured_providers() -> tuple[str, ...]:
    """All providers that can be called here."""
    return tuple(name for name in VARIABLES if is_configured(name))


def chosen_default(environ: Settings) -> tuple[str, str] | None:
    """Provider and model that LLM_PROVIDER asks for; None when it is unset.

    Raises NotConfigured for a name that no provider has.
    """
    name = environ.checked("LLM_PROVIDER").lower()
    if not name:
        return None
    provider = PROVIDER_NAMES[name]
    return provider, environ.get(DEFAULTS[provider].variable, DEFAULTS[provider].model)


def deployment() -> dict[str, Any]:
    """What the database must know of this deployment to choose a model that can be called.

    {providers: names of those with a key, and client; defaults: [{provider, model, is_chosen}] of those with a key,
    the one that LLM_PROVIDER names first}.
    """
    chosen = PROVIDER_NAMES.get(settings().get("LLM_PROVIDER").lower())
    defaults = [
        {"provider": name, "model": settings().get(default.variable, default.model), "is_chosen": name == chosen}
        for name, default in DEFAULTS.items()
        if is_configured(name)
    ]
    return {"providers": configured_providers(), "defaults": sorted(defaults, key=lambda each: not each["is_chosen"])}


def advice() -> str | None:
    """What to set so that models can be called; None when a provider is configured."""
    if any(is_configured(name) for name in DEFAULTS):
        return None
    ways = [_together(*VARIABLES[name]) for name in DEFAULTS]
    return f"No provider is configured: set {', '.join(ways[:-1])}, or {ways[-1]}."


def _together(key: str, *others: str) -> str:
    return f"{key} with {' and '.join(others)}" if others else key
