"""The text of an answer while its pieces arrive."""

from __future__ import annotations


class GrowingText:
    """Pieces of text as one. A list of them would take ten times as much memory: each is a few letters of 50 bytes."""

    def __init__(self) -> None:
        self._utf8 = bytearray()

    def __len__(self) -> int:
        """Its length in bytes."""
        return len(self._utf8)

    def add(self, piece: str) -> None:
        """Adds a piece at the end."""
        self._utf8 += piece.encode("utf-8", "surrogatepass")

    def text(self, start: int = 0) -> str:
        """The text after the first `start` bytes, which end with a piece."""
        return self._utf8[start:].decode("utf-8", "surrogatepass")
