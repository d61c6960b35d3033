"""One frozen Settings value, the environment and fetched secrets under it; `.env.example` names every variable."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass

from shared import forms
from shared.errors import NotConfigured
from shared.variables import REQUIRED, WrongVariable, found, laid_over, missing_variables, wrong_value, wrong_variables


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. Secrets are never printed: the representation leaves every value out."""

    environ: Mapping[str, str]

    def __repr__(self) -> str:
        return "Settings(…)"

    def get(self, name: str, default: str = "") -> str:
        """The variable, by its first name that is set, trimmed; `default` when unset or empty."""
        return found(self.environ, name)[1] or default

    def raw(self, name: str) -> str:
        """The variable as it was written, with blanks around it; empty when unset."""
        return self.environ.get(found(self.environ, name)[0], "")

    def wrong(self, name: str) -> str | None:
        """Why the variable's value is wrong and what to write; None when it is right or unset."""
        return wrong_value(name, self.get(name))

    def checked(self, name: str, default: str = "") -> str:
        """As `get`. Raises NotConfigured, naming the variable, when its value has not the form it must have."""
        if reason := self.wrong(name):
            raise NotConfigured(f"The environment variable {found(self.environ, name)[0]} {reason}.")
        return self.get(name, default)

    def require(self, name: str) -> str:
        """The variable. Raises NotConfigured, naming it, when it is unset, empty or of a wrong form."""
        value = self.checked(name)
        if not value:
            raise NotConfigured(f"The environment variable {name} is not set.")
        return value

    def key(self, name: str) -> str:
        """The variable as a key that can travel in a header. Raises NotConfigured as `require`, or for other text."""
        value = self.require(name)
        if reason := forms.key(value):
            raise NotConfigured(f"The environment variable {name} {reason}.")
        return value

    def wrong_variables(self, required: tuple[str, ...] = REQUIRED) -> tuple[WrongVariable, ...]:
        """Every variable that must be changed before all of a function works, the unset ones of `required` included."""
        return (*missing_variables(self.environ, required), *wrong_variables(self.environ))

    def is_on(self, name: str) -> bool:
        """True for 1, true, yes and on, in any case."""
        return self.get(name).lower() in forms.SWITCHED_ON

    def names(self, name: str) -> tuple[str, ...]:
        """The variable's comma-separated names, trimmed; none when it is unset."""
        return tuple(each.strip() for each in self.get(name).split(",") if each.strip())

    @property
    def supabase_url(self) -> str:
        return self.require("SUPABASE_URL").rstrip("/")

    @property
    def issuers(self) -> tuple[str, ...]:
        """Whose access tokens are accepted: SUPABASE_ISSUER's, else the project's own."""
        return self.names("SUPABASE_ISSUER") or (f"{self.supabase_url}/auth/v1",)

    @property
    def cors_origins(self) -> frozenset[str]:
        return frozenset(self.names("CORS_ORIGINS"))

    @property
    def turn_seconds(self) -> int:
        """Longest a model may take for a turn: the platform's limit minus ten for the booking."""
        return int(self.checked("TURN_SECONDS", "290"))

    @property
    def log_content(self) -> str:
        """`redacted` or `none`; a wrong value counts as `none`, so that no text is kept by mistake."""
        return "redacted" if self.get("LOG_CONTENT", "redacted").lower() == "redacted" else "none"


_fallback_environment: dict[str, str] = {}


@functools.cache
def settings() -> Settings:
    """The process's settings; the environment is copied at the first call, and again when secrets were fetched."""
    return Settings(laid_over(_fallback_environment, os.environ))


def set_fallback_environment(values: Mapping[str, str]) -> None:
    """Has these values, in place of those laid before, answer for variables that the environment leaves unset."""
    _fallback_environment.clear()
    _fallback_environment.update(values)
    settings.cache_clear()
