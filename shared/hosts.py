"""Who serves models: every provider by the name in its identifiers, and whether this deployment can call it.

Apart from how each is spoken to, which whoever only lists models has no use for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.config import settings


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


HOSTS = (
    Host("openai", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY", "max_completion_tokens"),
    Host("huggingface", "https://router.huggingface.co/v1", "HF_BASE_URL", "HF_TOKEN"),
    Host("client"),
)
"""OpenAI-compatible hosts: adding one is adding its row here."""

VARIABLES: Final[dict[str, tuple[str, ...]]] = {
    **{host.name: (host.key_variable,) if host.key_variable else () for host in HOSTS},
    "google": ("GOOGLE_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "matcha": ("MATCHA_API_KEY", "MATCHA_BASE_URL", "MATCHA_MISSION_ID"),
}
"""What must be set before a provider can be called, its key first; nothing for client nodes, whose rows say it all."""


def is_configured(name: str) -> bool:
    """Whether this deployment speaks the provider and has all that it takes to call it."""
    return name in VARIABLES and all(settings().get(variable) for variable in VARIABLES[name])


def configured() -> tuple[str, ...]:
    """All providers that can be called here."""
    return tuple(name for name in VARIABLES if is_configured(name))
