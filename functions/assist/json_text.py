"""The text of the first JSON object in a text that arrives in pieces."""

from __future__ import annotations

from typing import Final

_NUMBER: Final = frozenset("0123456789.+-eE")


class JsonText:
    """Passes on the first object: nothing before its opening brace, nothing after its closing one."""

    def __init__(self) -> None:
        self._depth = 0
        self._has_begun = self._is_in_string = self._is_escaped = False
        self._last = ""

    @property
    def is_in_literal(self) -> bool:
        """Whether the text so far may end within a number, whose value is not known before its end."""
        return self._depth > 0 and not self._is_in_string and self._last in _NUMBER

    def take(self, text: str) -> str:
        """The part of `text` that belongs to the object."""
        start = 0
        if not self._has_begun:
            start = text.find("{")
            if start < 0:
                return ""
            self._has_begun = True
        elif self._depth == 0:
            return ""
        for place in range(start, len(text)):
            self._step(text[place])
            if self._depth == 0:
                return text[start : place + 1]
        return text[start:]

    def _step(self, character: str) -> None:
        self._last = character
        if self._is_escaped:
            self._is_escaped = False
        elif self._is_in_string:
            self._is_escaped = character == "\\"
            self._is_in_string = character != '"'
        elif character == '"':
            self._is_in_string = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
