"""What the operator gives to a smoke test, and what a check gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEFAULT_SECONDS: Final = 120.0


class FailedError(Exception):
    """A check failed; the text says why."""


class SkippedError(Exception):
    """A check could not be made; the text says why."""


@dataclass(frozen=True, slots=True)
class SmokeOptions:
    """The operator's options; an empty string is an option that was not given."""

    token: str = ""
    origin: str = ""
    cron_secret: str = ""
    model: str = ""
    seconds: float = DEFAULT_SECONDS

    def user_headers(self) -> dict[str, str]:
        """Headers of a signed-in user on the operator's page. Raises SkippedError without a token."""
        if not self.token:
            raise SkippedError("no --token")
        return self.origin_header() | {"Authorization": f"Bearer {self.token}"}

    def origin_header(self) -> dict[str, str]:
        """The Origin header of the operator's page; empty without --origin."""
        return {"Origin": self.origin} if self.origin else {}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check, printed as one line. `passed` is None for a skipped check."""

    function: str
    check: str
    passed: bool | None
    detail: str

    def __str__(self) -> str:
        mark = {True: "ok  ", False: "FAIL", None: "skip"}[self.passed]
        return f"{mark}  {self.function:8s} {self.check:32s} {self.detail}"
