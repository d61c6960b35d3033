"""Repairs text from a model's host: joins halves of a character, replaces lone halves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from shared.events import Finish, ModelEvent, Reasoning, Text, Usage
from shared.sanitize import sanitize_text

_HIGH = range(0xD800, 0xDC00)


class SurrogateRepair:
    r"""Holds back the first half of a character until the second half or another event comes.

    A host may cut JSON's `\ud83d\ude80` between two chunks. The output can be encoded and stored.
    """

    def __init__(self) -> None:
        self._kind: type[Text | Reasoning] = Text
        self._half = ""

    def joined(self, event: ModelEvent) -> Iterator[ModelEvent]:
        """The events to pass on; none for a piece without a whole character."""
        if isinstance(event, Usage):
            yield event  # may come between two halves
            return
        if self._half and not isinstance(event, self._kind):
            half, self._half = self._half, ""
            yield self._kind(sanitize_text(half))
        match event:
            case Text(text) | Reasoning(text):
                text, self._half, self._kind = self._half + text, "", type(event)
                if text and ord(text[-1]) in _HIGH:
                    text, self._half = text[:-1], text[-1]
                if text:
                    yield type(event)(sanitize_text(text))
            case Finish(native=native) if native is not None:
                yield replace(event, native=replace(native, content=sanitize_text(native.content)))
            case _:
                yield event
