"""Frames of a streamed answer, from the model's events and the outcomes of the parts; without any network."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

import orjson
from pydantic_core import from_json

from functions.assist.answer import Answer
from functions.assist.bodies import Outcomes, body_of, errors_of, members_of
from functions.assist.json_text import JsonText
from functions.assist.preset import Bundle, Offer
from functions.assist.request import presets_of
from functions.assist.runner import Part
from shared.error_response import error_body
from shared.errors import ParleyError
from shared.events import NextStep, Text
from shared.sse import DONE, frame


class Frames(Protocol):
    """Frames of one answer."""

    def take(self, part: Part, event: Any) -> bytes:
        """The frames of an event or outcome of a part; empty when there is nothing new."""
        ...

    def end(self, outcomes: Outcomes, request_id: str) -> bytes | None:
        """The last frames; None when what was sent turned out wrong."""
        ...


class EventFrames:
    """Server-sent events: `partial` objects, the validated `object`, its `receipt`, `[DONE]`; or an `error`.

    A partial object replaces the one before it: after a try that did not fit the object begins again.
    """

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._scanners = {preset.name: JsonText() for preset in presets_of(offer)}
        self._texts = dict.fromkeys(self._scanners, "")
        self._parts: dict[str, dict[str, Any]] = {}

    def take(self, part: Part, event: Any) -> bytes:
        name = part.preset.name
        before = self._parts.get(name)
        match event:
            case Text(text):
                self._texts[name] += self._scanners[name].take(text)
                if self._scanners[name].is_in_literal:
                    return b""
                with suppress(ValueError):  # an escape that is cut in half, or no JSON
                    self._parts[name] = _partial(self._texts[name], part.preset.output.model_fields)
            case NextStep():
                self._texts[name], self._scanners[name] = "", JsonText()
                self._parts.pop(name, None)
            case Answer():
                self._parts[name] = orjson.loads(event.output)
            case _:
                pass
        if self._parts.get(name, {}) == (before or {}):
            return b""
        whole = {field: value for fields in self._parts.values() for field, value in fields.items()}
        return frame({"type": "partial", "object": whole})

    def end(self, outcomes: Outcomes, request_id: str) -> bytes:
        try:
            body: dict[str, Any] = orjson.loads(body_of(self._offer, outcomes, request_id))
        except ParleyError as error:
            return frame({"type": "error"} | error_body(error, request_id)) + DONE
        named = "receipts" if isinstance(self._offer, Bundle) else "receipt"
        receipt = body.pop(named)
        errors = {"errors": body.pop("errors")} if "errors" in body else {}
        whole = frame({"type": "object", "object": body} | errors)
        return whole + frame({"type": "receipt", named: receipt}) + DONE


class TextFrames:
    """The text of one JSON object, which only grows, as the AI SDK's `useObject` reads it. It has no receipt.

    One preset's text is passed on as the model writes it; a bundle's grows by whole parts.
    """

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._text = JsonText()
        self._sent = b""
        self._is_single = not isinstance(offer, Bundle)
        self._is_wrong = False

    def take(self, part: Part, event: Any) -> bytes:
        data = b""
        match event:
            case Text(text) if self._is_single and not self._is_wrong:
                data = self._text.take(text).encode("utf-8", "replace")
            case NextStep() if self._is_single:
                self._is_wrong = bool(self._sent)  # a further try cannot replace what was sent
                self._text = JsonText()
            case Answer() | ParleyError() if not self._is_single:
                data = (b"," if self._sent else b"{") + members_of(part.preset, event)
            case _:
                pass
        self._sent += data
        return data

    def end(self, outcomes: Outcomes, request_id: str) -> bytes | None:
        if not self._is_single:
            errors = errors_of(self._offer, outcomes, request_id)
            return (b"," + orjson.dumps({"errors": errors})[1:] if errors else b"}") if self._sent else None
        (outcome,) = outcomes.values()
        if not isinstance(outcome, Answer):
            return None
        if not self._sent:
            return outcome.output
        return b"" if _is_same(self._sent, outcome.output) else None


def _partial(text: str, fields: Any) -> dict[str, Any]:
    """The fields so far of an unfinished JSON object. Raises ValueError for other text."""
    value = from_json(text, allow_partial="trailing-strings") if text else {}
    return {name: each for name, each in value.items() if name in fields} if isinstance(value, dict) else {}


def _is_same(sent: bytes, output: bytes) -> bool:
    """Whether the sent text has every field of the output."""
    try:
        value = orjson.loads(sent)
    except ValueError:
        return False
    wanted: dict[str, Any] = orjson.loads(output)
    return isinstance(value, dict) and all(value.get(name) == each for name, each in wanted.items())
