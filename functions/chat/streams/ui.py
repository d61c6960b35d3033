"""The AI SDK's UI message stream, from the turn's events to frames; without any network.

Wire format: https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol, read 2026-11-21.
"""

from __future__ import annotations

from typing import Any, Final

from shared.errors import ParleyError
from shared.events import NextStep, Reasoning, Refusal, Text, ToolResult
from shared.messages import ToolCall
from shared.receipts import receipt_json
from shared.routes import RouteChosen
from shared.run_turn import Failure, TurnEvent
from shared.sse import DONE, FrameTemplate, frame
from shared.turns import Receipt, Turn, TurnResult

HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}
_FINISH_REASONS: Final = {
    "stop": "stop",
    "length": "length",
    "filtered": "content-filter",
    "tool_calls": "tool-calls",
}


class UiStream:
    """Encodes one turn; text and reasoning are parts with a start and an end."""

    headers = HEADERS

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._part: str | None = None
        self._parts = 0
        self._delta: FrameTemplate  # of the open part
        self._model: str | None = None
        self._error: ParleyError | None = None

    def begin(self) -> bytes:
        """The first frames; the model's name follows when a route begins to answer."""
        metadata = {"turn_id": self._turn.turn_id, "conversation_id": self._turn.conversation_id}
        if self._model:
            metadata["model"] = self._model
        start = {"type": "start", "messageId": self._turn.turn_id, "messageMetadata": metadata}
        return frame(start) + frame({"type": "start-step"})

    def encode(self, event: TurnEvent) -> bytes:
        """Frames of one event; none for those that only the ledger needs."""
        match event:
            case Text(text) | Refusal(text):
                return self._piece("text", text)
            case Reasoning(text):
                return self._piece("reasoning", text)
            case ToolCall():
                return self._close() + frame(_call(event))
            case ToolResult():
                return self._close() + frame(_result(event))
            case NextStep():
                return self._close() + frame({"type": "finish-step"}) + frame({"type": "start-step"})
            case RouteChosen(route):
                self._model = route.identifier
            case Failure(error):
                self._error = error
                return self._close()
            case Receipt():
                return self._close() + self._end(event)
            case _:
                pass
        return b""

    def _piece(self, kind: str, text: str) -> bytes:
        opened = b"" if self._part == kind else self._open(kind)
        return opened + self._delta.frame(text)

    def _open(self, kind: str) -> bytes:
        closed = self._close()
        self._part, self._parts = kind, self._parts + 1
        part_id = str(self._parts)
        self._delta = FrameTemplate(lambda mark: frame({"type": f"{kind}-delta", "id": part_id, "delta": mark}))
        return closed + frame({"type": f"{kind}-start", "id": part_id})

    def _close(self) -> bytes:
        kind, self._part = self._part, None
        return frame({"type": f"{kind}-end", "id": str(self._parts)}) if kind else b""

    def _end(self, receipt: Receipt) -> bytes:
        """The last frames. The receipt precedes an error, because `useChat` reads nothing after an error."""
        entry = receipt.result
        frames = [frame({"type": "finish-step"}), frame({"type": "data-receipt", "data": receipt_json(receipt)})]
        if self._error is not None:
            frames.append(frame({"type": "error", "errorText": self._error.message}))
        elif entry.status == "cancelled":  # only a replay gets here: a client that hung up reads nothing
            frames.append(frame({"type": "abort", "reason": "The first attempt of this answer was stopped."}))
        metadata = {
            "model": entry.route.identifier,
            "agent": entry.agent_type,
            "agents": list(entry.agents),
            "cost_usd": receipt.cost_usd,
        }
        frames.append(frame({"type": "finish", "finishReason": self._reason(entry), "messageMetadata": metadata}))
        return b"".join((*frames, DONE))

    def _reason(self, entry: TurnResult) -> str:
        return "error" if self._error is not None else _FINISH_REASONS.get(entry.finish_reason or "", "other")


def _call(call: ToolCall) -> dict[str, Any]:
    named = {"toolCallId": call.id, "toolName": call.name}
    if call.broken is not None:
        broken = {"type": "tool-input-error", "input": call.broken, "errorText": "The arguments are no JSON object."}
        return broken | named
    return {"type": "tool-input-available", "input": dict(call.arguments)} | named


def _result(result: ToolResult) -> dict[str, Any]:
    named = {"toolCallId": result.call.id}
    if result.is_error:
        return {"type": "tool-output-error", "errorText": str(result.content["hint"])} | named
    return {"type": "tool-output-available", "output": dict(result.content)} | named
