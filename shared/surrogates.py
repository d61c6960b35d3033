"""Repairs text from a model's host: joins halves of a character, replaces lone halves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shared.events import PIECES, Finish, ModelEvent, Reasoning, Refusal, Text, Usage
from shared.sanitize import is_sound, sanitize_text

_HIGH = range(0xD800, 0xDC00)


class SurrogateRepair:
    r"""Holds back the first half of a character until the second half or another event comes.

    A host may cut JSON's `\ud83d\ude80` between two chunks. The output can be encoded and stored.
    """

    def __init__(self) -> None:
        self._kind: type[Text | Reasoning] = Text
        self._half = ""

    def joined(self, event: ModelEvent) -> Sequence[ModelEvent]:
        """The events to pass on; none for a piece without a whole character."""
        if isinstance(event, PIECES):
            if not self._half and event.text and is_sound(event.text):
                return (event,)
            return [*self._released(type(event)), *self._repaired(event)]
        if isinstance(event, Usage):
            return (event,)  # may come between two halves
        if isinstance(event, Refusal):
            event = Refusal(sanitize_text(event.text))
        if isinstance(event, Finish) and event.native is not None:
            event = replace(event, native=replace(event.native, content=sanitize_text(event.native.content)))
        return [*self._released(), event]

    def _released(self, kind: type[Text | Reasoning] | None = None) -> Sequence[Text | Reasoning]:
        """The half that stayed alone, replaced; none if the next event is of its kind and may have the other half."""
        if not self._half or kind is self._kind:
            return ()
        half, self._half = self._half, ""
        return (self._kind(sanitize_text(half)),)

    def _repaired(self, event: Text | Reasoning) -> Sequence[Text | Reasoning]:
        """The piece with the half before it, without a half at its end."""
        text, self._half, self._kind = self._half + event.text, "", type(event)
        if text and ord(text[-1]) in _HIGH:
            text, self._half = text[:-1], text[-1]
        return (self._kind(sanitize_text(text)),) if text else ()
