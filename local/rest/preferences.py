"""The Prefer header (RFC 7240): what a client asks of a request beyond its URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import available_timezones

from local.rest.errors import ApiError

_ACCEPTED = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "return": ("representation", "minimal", "headers-only"),
    "count": ("exact", "planned", "estimated"),
    "tx": ("commit", "rollback"),
    "handling": ("strict", "lenient"),
}
_MAX_AFFECTED = "max-affected"


@dataclass(frozen=True)
class Preferences:
    """The valid preferences by name, of each the first; `invalid` are the others as the client wrote them."""

    values: Mapping[str, str]
    invalid: tuple[str, ...] = ()

    def get(self, name: str) -> str | None:
        """The value of a preference; None without it."""
        return self.values.get(name)

    @property
    def wants_rows(self) -> bool:
        """Whether a write must return its rows."""
        return self.values.get("return") == "representation"

    @property
    def wants_count(self) -> bool:
        """Whether the response must have the total."""
        return "count" in self.values

    @property
    def is_rolled_back(self) -> bool:
        """Whether the changes must not be kept."""
        return self.values.get("tx") == "rollback"

    @property
    def max_affected(self) -> int | None:
        """The number of rows that may change; None without a limit. It holds with handling=strict only."""
        limit = self.values.get(_MAX_AFFECTED)
        return int(limit) if limit is not None and self.values.get("handling") == "strict" else None

    def check(self) -> None:
        """Raises ApiError 400 for an invalid preference with handling=strict."""
        if self.invalid and self.values.get("handling") == "strict":
            details = f"Invalid preferences: {', '.join(self.invalid)}"
            raise ApiError(400, "PGRST122", "Invalid preferences given with handling=strict", details)

    def applied(self, names: tuple[str, ...]) -> str:
        """The Preference-Applied header of a request to which these preferences apply; empty for none."""
        order = ("resolution", "missing", "return", "count", "tx", "handling", "timezone", _MAX_AFFECTED)
        given = [name for name in order if name in names and name in self.values]
        if self.max_affected is None and _MAX_AFFECTED in given:
            given.remove(_MAX_AFFECTED)
        return ", ".join(f"{name}={self.values[name]}" for name in given)


def parse_preferences(header: str) -> Preferences:
    """The preferences of a Prefer header."""
    values: dict[str, str] = {}
    invalid = []
    for part in filter(None, map(str.strip, header.split(","))):
        name, _, value = part.partition("=")
        if _is_valid(name, value):
            values.setdefault(name, value)
        else:
            invalid.append(part)
    return Preferences(values, tuple(invalid))


def _is_valid(name: str, value: str) -> bool:
    if name == _MAX_AFFECTED:
        return value.isascii() and value.isdigit() and len(value) < 19
    if name == "timezone":
        return value in _timezones()
    return value in _ACCEPTED.get(name, ())


@lru_cache
def _timezones() -> set[str]:
    return available_timezones()
