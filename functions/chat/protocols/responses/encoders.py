"""OpenAI's responses: encoders from the turn's events to stream events or one object; without any network.

Wire format: https://platform.openai.com/docs/api-reference/responses-streaming, read 2026-11-28.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from functions.chat.protocols.calls import CallQueue
from functions.chat.protocols.responses.output import OutputItems
from functions.chat.protocols.stateless import StatelessRequest
from shared.error_response import error_body
from shared.events import CallPiece, Finish, Reasoning, Refusal, Signature, StopReason, Text
from shared.messages import ToolCall
from shared.routes import RouteChosen
from shared.run_turn import Failure, TurnEvent
from shared.sse import named_frame
from shared.turns import Receipt, Turn

_INCOMPLETE: Final[Mapping[StopReason, str]] = {"length": "max_output_tokens", "filtered": "content_filter"}


class ResponseStream:
    """Encodes one answer as numbered events; its items follow each other."""

    headers: Final[dict[str, str]] = {}

    def __init__(self, turn: Turn, asked: StatelessRequest) -> None:
        self._turn, self._asked = turn, asked
        self._model = turn.routes[0].identifier
        self._created = int(time.time())
        custom = {tool["name"] for tool in asked.echo.get("tools", ()) if tool["type"] == "custom"}
        self._output = OutputItems(turn.turn_id, custom, has_signatures=asked.wants_signatures)
        self._calls = CallQueue()
        self._reason: StopReason = "stop"
        self._error: dict[str, Any] | None = None

    def begin(self) -> bytes:
        """The response without output, twice; these events have the numbers 0 and 1."""
        response = self._response("in_progress", [])
        kinds = ("response.created", "response.in_progress")
        return b"".join(
            named_frame(kind, {"type": kind, "response": response, "sequence_number": number})
            for number, kind in enumerate(kinds)
        )

    def encode(self, event: TurnEvent) -> bytes:
        """Frames of one event."""
        output = self._output
        match event:
            case Text(text):
                return output.text("output_text", text)
            case Refusal(text):
                return output.text("refusal", text)
            case Reasoning(text):
                return output.reasoning(text)
            case CallPiece() | ToolCall():
                return b"".join(map(output.call, self._calls.add(event)))
            case Signature(text):
                return b"" if event.is_redacted else output.sign(f"{event.provider}:{text}")
            case RouteChosen(route):
                self._model = route.identifier
            case Finish(reason):
                self._reason = reason
            case _:
                return self._last(event)
        return b""

    def response(self, receipt: Receipt) -> dict[str, Any]:
        """The whole response, after the end of its last item."""
        self._model = receipt.result.route.identifier
        status = "failed" if self._error else "incomplete" if self._reason in _INCOMPLETE else "completed"
        response = self._response(status, self._output.items)
        usage = receipt.result.usage
        response["completed_at"] = int(time.time())
        response["usage"] = {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {
                "cached_tokens": usage.cached_tokens,
                "cache_write_tokens": usage.cache_write_tokens,
            },
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "cost": receipt.cost_usd,
        }
        return response

    def _last(self, event: TurnEvent) -> bytes:
        if isinstance(event, Failure):
            error = error_body(event.error, self._turn.request_id)["error"]
            self._error = {"code": error["code"], "message": error["message"]}
            ended = self._output.close()
            return ended + self._output.event("error", **self._error, param=error["param"])
        if not isinstance(event, Receipt):
            return b""
        ended = b"".join(map(self._output.call, self._calls.rest())) + self._output.close()
        response = self.response(event)
        return ended + self._output.event(f"response.{response['status']}", response=response)

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        reason = _INCOMPLETE.get(self._reason) if status == "incomplete" else None
        return {
            "id": f"resp_{self._turn.turn_id}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": self._error,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": self._model,
            "output": list(output),
            "usage": None,
            "user": None,
            "conversation": {"id": f"conv_{self._turn.conversation_id}"} if self._turn.conversation_id else None,
        } | dict(self._asked.echo)


class ResponseJson:
    """Encodes one answer as one object, that of the last event of a stream."""

    def __init__(self, turn: Turn, asked: StatelessRequest) -> None:
        self._stream = ResponseStream(turn, asked)

    def observe(self, event: TurnEvent) -> None:
        """Keeps the items; the frames are not needed."""
        self._stream.encode(event)

    def encode(self, receipt: Receipt) -> dict[str, Any]:
        """The response."""
        return self._stream.response(receipt)
