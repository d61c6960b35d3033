"""OpenAI's old completions: encoders from the turn's events to chunks or one object; without any network.

Wire format: https://platform.openai.com/docs/api-reference/completions, read 2026-11-28.
"""

from __future__ import annotations

import time
from typing import Any, Final

from functions.chat.protocols.completions.encoders import FINISH_REASONS, usage_of
from functions.chat.protocols.stateless import StatelessRequest
from shared.error_response import error_body
from shared.events import Finish, Refusal, StopReason, Text
from shared.routes import RouteChosen
from shared.run_turn import Failure, TurnEvent
from shared.sse import DONE, FrameTemplate, frame
from shared.turns import Receipt, Turn


class TextStream:
    """Encodes one answer as chunks of text; the last one has the usage and empty choices, if asked for."""

    headers: Final[dict[str, str]] = {}

    def __init__(self, turn: Turn, asked: StatelessRequest) -> None:
        self._turn, self._wants_usage = turn, asked.wants_usage
        self._head = _head(turn)
        self._template: FrameTemplate | None = None
        self._reason: str | None = None
        self._has_failed = False

    def begin(self) -> bytes:
        """Nothing: the first piece of text is the first chunk."""
        return b""

    def encode(self, event: TurnEvent) -> bytes:
        """Frames of one event; reasoning has no place in this protocol."""
        match event:
            case Text(text) | Refusal(text):
                if self._template is None:
                    self._template = FrameTemplate(self._chunk)
                return self._template.frame(text)
            case RouteChosen(route):
                self._head["model"], self._template = route.identifier, None
            case Finish(reason):
                self._reason = FINISH_REASONS[reason]
            case Failure(error):
                self._has_failed = True
                return frame(error_body(error, self._turn.request_id))
            case Receipt():
                return self._end(event)
            case _:
                pass
        return b""

    def _end(self, receipt: Receipt) -> bytes:
        if self._has_failed:
            return DONE
        usage = frame(self._head | {"choices": [], "usage": usage_of(receipt)}) if self._wants_usage else b""
        return self._chunk("", self._reason or "stop") + usage + DONE

    def _chunk(self, text: str, reason: str | None = None) -> bytes:
        return frame(self._head | {"choices": [_choice(text, reason)]} | ({"usage": None} if self._wants_usage else {}))


class TextJson:
    """Encodes one answer as one object."""

    def __init__(self, turn: Turn, _asked: StatelessRequest) -> None:
        self._turn = turn
        self._reason: StopReason = "stop"

    def observe(self, event: TurnEvent) -> None:
        """Keeps the reason of the end."""
        if isinstance(event, Finish):
            self._reason = event.reason

    def encode(self, receipt: Receipt) -> dict[str, Any]:
        """The completion."""
        choice = _choice(receipt.result.content, FINISH_REASONS[self._reason])
        model = {"model": receipt.result.route.identifier}
        return _head(self._turn) | model | {"choices": [choice], "usage": usage_of(receipt)}


def _head(turn: Turn) -> dict[str, Any]:
    return {
        "id": f"cmpl-{turn.turn_id}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": turn.routes[0].identifier,
    }


def _choice(text: str, reason: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
