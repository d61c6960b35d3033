"""One frozen Settings value, the environment and fetched secrets under it; `.env.example` names every variable."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import NotConfigured


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. Secrets are never printed: the representation leaves every value out."""

    environ: Mapping[str, str]

    def __repr__(self) -> str:
        return "Settings(…)"

    def get(self, name: str, default: str = "") -> str:
        """The variable, trimmed; `default` when unset or empty."""
        return self.environ.get(name, "").strip() or default

    def require(self, name: str) -> str:
        """The variable. Raises NotConfigured, naming it, when it is unset or empty."""
        value = self.get(name)
        if not value:
            raise NotConfigured(f"The environment variable {name} is not set.")
        return value

    def key(self, name: str) -> str:
        """The variable as a key that can travel in a header. Raises NotConfigured as `require`, or for other text."""
        value = self.require(name)
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise NotConfigured(f"The environment variable {name} holds characters that no key has.")
        return value

    def is_on(self, name: str) -> bool:
        """True for 1, true, yes and on, in any case."""
        return self.get(name).lower() in {"1", "true", "yes", "on"}

    def names(self, name: str) -> tuple[str, ...]:
        """The variable's comma-separated names, trimmed; none when it is unset."""
        return tuple(each.strip() for each in self.get(name).split(",") if each.strip())

    @property
    def supabase_url(self) -> str:
        return self.require("SUPABASE_URL").rstrip("/")

    @property
    def cors_origins(self) -> frozenset[str]:
        return frozenset(self.names("CORS_ORIGINS"))

    @property
    def turn_seconds(self) -> int:
        """Longest a model may take for a turn: the platform's limit minus ten for the booking."""
        text = self.get("TURN_SECONDS", "290")
        if not text.isdecimal() or not 0 < int(text) <= 800:
            raise NotConfigured("The environment variable TURN_SECONDS is not a number of seconds from 1 to 800.")
        return int(text)

    @property
    def log_content(self) -> str:
        """`redacted` or `none`."""
        return self.get("LOG_CONTENT", "redacted")


_laid_under: dict[str, str] = {}


@functools.cache
def settings() -> Settings:
    """The process's settings; the environment is copied at the first call, and again when secrets were fetched."""
    return Settings(_laid_under | {name: value for name, value in os.environ.items() if value.strip()})


def lay_under(values: Mapping[str, str]) -> None:
    """Has these values, in place of those laid before, answer for variables that the environment leaves unset."""
    _laid_under.clear()
    _laid_under.update(values)
    settings.cache_clear()
