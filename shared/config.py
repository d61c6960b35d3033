"""The settings: environment variables, which override fetched secrets. `.env.example` names every variable."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared import forms
from shared.errors import NotConfigured
from shared.variables import REQUIRED, WrongVariable, found, laid_over, missing_variables, wrong_value, wrong_variables


@dataclass(frozen=True, eq=False)  # hashed by identity: what is derived from it can be cached
class Settings:
    """The variables and their checks. The representation contains no values, so that no secret is printed.

    A turn reads about thirty variables, so what is found is kept.
    """

    environ: Mapping[str, str]
    _known: dict[str, tuple[str, str]] = field(default_factory=dict, init=False)

    def __repr__(self) -> str:
        return "Settings(…)"

    def get(self, name: str, default: str = "") -> str:
        """The trimmed value, under the first of its names that is set; `default` if unset or empty."""
        return self._set_as(name)[1] or default

    def _set_as(self, name: str) -> tuple[str, str]:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = found(self.environ, name)
        return known

    def raw(self, name: str) -> str:
        """The value with its surrounding blanks; empty if unset."""
        return self.environ.get(self._set_as(name)[0], "")

    def wrong(self, name: str) -> str | None:
        """Why the value is wrong and what to write; None if it is right or unset."""
        return wrong_value(name, self.get(name))

    def checked(self, name: str, default: str = "") -> str:
        """As `get`. Raises NotConfigured, naming the variable, if its value has the wrong form."""
        if reason := self.wrong(name):
            raise NotConfigured(f"The environment variable {self._set_as(name)[0]} {reason}.")
        return self.get(name, default)

    def require(self, name: str) -> str:
        """The value. Raises NotConfigured, naming the variable, if it is unset, empty or has the wrong form."""
        value = self.checked(name)
        if not value:
            raise NotConfigured(f"The environment variable {name} is not set.")
        return value

    def key(self, name: str) -> str:
        """The value as a key for an HTTP header. Raises NotConfigured as `require`, or if a header cannot hold it."""
        value = self.require(name)
        if reason := forms.key(value):
            raise NotConfigured(f"The environment variable {name} {reason}.")
        return value

    def wrong_variables(self, required: tuple[str, ...] = REQUIRED) -> tuple[WrongVariable, ...]:
        """All variables with wrong values, and the unset ones of `required`."""
        return (*missing_variables(self.environ, required), *wrong_variables(self.environ))

    def is_on(self, name: str) -> bool:
        """True for 1, true, yes and on, in any case."""
        return self.get(name).lower() in forms.SWITCHED_ON

    def names(self, name: str) -> tuple[str, ...]:
        """The comma-separated names of the value, trimmed; empty if unset."""
        return tuple(each.strip() for each in self.get(name).split(",") if each.strip())

    @functools.cached_property
    def supabase_url(self) -> str:
        return self.require("SUPABASE_URL").rstrip("/")

    @functools.cached_property
    def ledger_url(self) -> str:
        """The address at which chat and assist connect to PostgreSQL; empty if they call the data API."""
        return self.checked("LEDGER_DATABASE_URL")

    @functools.cached_property
    def issuers(self) -> tuple[str, ...]:
        """The accepted issuers of access tokens: those of SUPABASE_ISSUER, else the project."""
        return self.names("SUPABASE_ISSUER") or (f"{self.supabase_url}/auth/v1",)

    @functools.cached_property
    def cors_origins(self) -> frozenset[str]:
        return frozenset(self.names("CORS_ORIGINS"))

    @functools.cached_property
    def turn_seconds(self) -> int:
        """The maximum time of a model per turn: the platform's limit minus ten seconds for the booking."""
        return int(self.checked("TURN_SECONDS", "290"))

    def deadline(self, arrived: float) -> float:
        """The end of the time of a turn whose request arrived then, both by time.monotonic()."""
        return arrived + self.turn_seconds

    @functools.cached_property
    def first_content_seconds(self) -> int:
        """How long an accepted call may be silent before its first content, as models are that think."""
        return int(self.checked("FIRST_CONTENT_SECONDS", "120"))

    @functools.cached_property
    def log_content(self) -> str:
        """`redacted`, `encrypted` or `none`. A wrong value, or a missing key, counts as `none`: no text is stored."""
        mode = self.get("LOG_CONTENT", "redacted").lower()
        has_key = self.get("LOG_ENCRYPTION_KEYS") and not self.wrong("LOG_ENCRYPTION_KEYS")
        return mode if mode == "redacted" or (mode == "encrypted" and has_key) else "none"


_fallback_environment: dict[str, str] = {}


@functools.cache
def settings() -> Settings:
    """The settings of the process; the environment is copied at the first call and after secrets were fetched."""
    return Settings(laid_over(_fallback_environment, os.environ))


def set_fallback_environment(values: Mapping[str, str]) -> None:
    """Sets the values of variables that the environment does not set; earlier such values are dropped."""
    _fallback_environment.clear()
    _fallback_environment.update(values)
    settings.cache_clear()
