"""The check that a set of packages is complete, for another platform and with extras."""

from __future__ import annotations

from email.message import Message
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

from deploy.closure import lambda_markers, unmet

_ARM = lambda_markers("3.13", "arm64")


class _Package(Distribution):
    """A distribution that has only metadata."""

    def __init__(self, name: str, version: str, *requires: str) -> None:
        self._headers = Message()
        for key, value in (("Name", name), ("Version", version), *(("Requires-Dist", each) for each in requires)):
            self._headers[key] = value

    @property
    def metadata(self) -> Any:
        return self._headers

    def read_text(self, filename: str) -> str | None:
        return self._headers.as_string() if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Path:
        return Path(path)


_SPRING = _Package("spring", "1.0", "river[delta]>=1.0")
_RIVER = _Package("river", "1.0", 'silt>=1.0; extra == "delta"', 'ice; sys_platform == "win32"')
_SILT = _Package("silt", "1.0")


def test_a_complete_set_lacks_nothing() -> None:
    """Requirements of other platforms and of unrequested extras do not count."""
    assert unmet([_SPRING, _RIVER, _SILT], _ARM) == []
    assert unmet([_RIVER], _ARM) == []


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        ([_SPRING], "spring requires river[delta]>=1.0, and it is missing"),
        ([_SPRING, _RIVER], 'river requires silt>=1.0; extra == "delta", and it is missing'),
        ([_SPRING, _Package("River", "0.9")], "spring requires river[delta]>=1.0, and 0.9 is installed"),
    ],
    ids=["missing", "missing by an extra", "another version"],
)
def test_a_missing_requirement_is_named(packages: list[Distribution], expected: str) -> None:
    """The sentence names the requirement and the package that has it."""
    assert unmet(packages, _ARM) == [expected]


def test_an_extra_that_the_lock_does_not_name_is_missing() -> None:
    """An installer would resolve such an extra although its package is pinned."""
    packages = [_SPRING, _RIVER, _SILT]
    assert unmet(packages, _ARM, {"river": {"delta"}}) == []
    assert unmet(packages, _ARM, {}) == ["spring requires river[delta]>=1.0, and the lock names no [delta]"]
