"""Anthropic's messages: encoders from the turn's events to stream events or one object; without any network.

Wire format: https://platform.claude.com/docs/en/build-with-claude/streaming, read 2026-11-28.
"""

from __future__ import annotations

from typing import Any, Final

from functions.chat.protocols.calls import CallQueue
from functions.chat.protocols.messages.blocks import CLAUDE
from functions.chat.protocols.messages.openai_reasoning import OPENAI, signature_of
from functions.chat.protocols.stateless import StatelessRequest
from shared.error_response import error_body
from shared.events import CallPiece, Finish, Reasoning, Refusal, Signature, StopReason, Text, Usage
from shared.messages import ToolCall
from shared.routes import RouteChosen
from shared.run_turn import Failure, TurnEvent
from shared.sse import FrameTemplate, named_frame
from shared.turns import Receipt, Turn

_STOP_REASONS: Final[dict[StopReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "filtered": "refusal",
    "truncated": "end_turn",
}
_SIGNING: Final = {CLAUDE, OPENAI}  # providers that want their reasoning back
_EMPTY_BLOCKS: Final = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}


class MessageStream:
    """Encodes one answer as events; its blocks follow each other, with a start and an end."""

    headers: Final[dict[str, str]] = {}

    def __init__(self, turn: Turn, _asked: StatelessRequest) -> None:
        self._turn = turn
        self._model = turn.routes[0].identifier
        self._usage = Usage(turn.quote.input_tokens if turn.quote else 0, 0, source="estimate")
        self._open: str | None = None  # the kind of the open block, or the id of its call
        self._index = -1
        self._delta: FrameTemplate  # of the open block
        self._calls = CallQueue()
        self._reason: StopReason = "stop"
        self._has_failed = False

    def begin(self) -> bytes:
        """The message without content; its usage is the provider's if it counts early, else an estimate."""
        message = _head(self._turn, self._model) | {"content": [], "stop_reason": None, "stop_sequence": None}
        return _event("message_start", message=message | {"usage": _usage(self._usage)})

    def encode(self, event: TurnEvent) -> bytes:
        """Frames of one event."""
        match event:
            case Text(text) | Refusal(text):
                return self._piece("text", text)
            case Reasoning(text):
                return self._piece("thinking", text)
            case CallPiece() | ToolCall():
                return b"".join(map(self._call_piece, self._calls.add(event)))
            case Signature():
                return self._signed(event) if event.provider in _SIGNING else b""
            case RouteChosen(route):
                self._model = route.identifier
            case Usage():
                self._usage = event
            case Finish(reason):
                self._reason = reason
            case _:
                return self._last(event)
        return b""

    def _last(self, event: TurnEvent) -> bytes:
        if isinstance(event, Failure):
            self._has_failed = True
            body = error_body(event.error, self._turn.request_id)
            return named_frame("error", body)
        if not isinstance(event, Receipt) or self._has_failed:
            return b""
        rest = b"".join(map(self._call_piece, self._calls.rest()))
        delta = {"stop_reason": _STOP_REASONS[self._reason], "stop_sequence": None}
        usage = _usage(event.result.usage) | {"cost": event.cost_usd}
        return rest + self._close() + _event("message_delta", delta=delta, usage=usage) + _event("message_stop")

    def _piece(self, kind: str, text: str) -> bytes:
        opened = b""
        if self._open != kind:
            opened = self._start(kind, _EMPTY_BLOCKS[kind])
            index = self._index
            self._delta = FrameTemplate(
                lambda mark: _event("content_block_delta", index=index, delta={"type": f"{kind}_delta", kind: mark})
            )
        return opened + self._delta.frame(text)

    def _signed(self, signature: Signature) -> bytes:
        """The signature of the open reasoning, which it ends; redacted reasoning is a block of its own."""
        if signature.is_redacted:
            return self._start("redacted", {"type": "redacted_thinking", "data": signature.text}) + self._close()
        opened = b"" if self._open == "thinking" else self._start("thinking", _EMPTY_BLOCKS["thinking"])
        delta = {"type": "signature_delta", "signature": signature_of(signature)}
        return opened + _event("content_block_delta", index=self._index, delta=delta) + self._close()

    def _call_piece(self, piece: CallPiece) -> bytes:
        opened = b""
        if self._open != f"call {piece.id}":
            opened = self._start(
                f"call {piece.id}", {"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}}
            )
            index = self._index
            self._delta = FrameTemplate(
                lambda mark: _event(
                    "content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": mark}
                )
            )
        return opened + (self._delta.frame(piece.text) if piece.text else b"")

    def _start(self, kind: str, block: dict[str, Any]) -> bytes:
        closed = self._close()
        self._open, self._index = kind, self._index + 1
        return closed + _event("content_block_start", index=self._index, content_block=block)

    def _close(self) -> bytes:
        is_open, self._open = self._open is not None, None
        return _event("content_block_stop", index=self._index) if is_open else b""


class MessageJson:
    """Encodes one answer as one object."""

    def __init__(self, turn: Turn, _asked: StatelessRequest) -> None:
        self._turn = turn
        self._blocks: list[dict[str, Any]] = []
        self._pieces: list[str] = []  # of the last block
        self._reason: StopReason = "stop"

    def observe(self, event: TurnEvent) -> None:
        """Keeps the blocks in their order."""
        match event:
            case Text(text) | Refusal(text):
                self._add("text", text)
            case Reasoning(text):
                self._add("thinking", text)
            case Signature() if event.provider not in _SIGNING:
                pass
            case Signature(text=data, is_redacted=True):
                self._begin({"type": "redacted_thinking", "data": data})
            case Signature():
                self._add("thinking", "")
                self._blocks[-1]["signature"] = signature_of(event)
                self._begin(None)
            case ToolCall():
                self._begin({"type": "tool_use", "id": event.id, "name": event.name, "input": dict(event.arguments)})
            case Finish(reason):
                self._reason = reason
            case _:
                pass

    def encode(self, receipt: Receipt) -> dict[str, Any]:
        """The message."""
        self._begin(None)
        ended = {"stop_reason": _STOP_REASONS[self._reason], "stop_sequence": None}
        usage = _usage(receipt.result.usage) | {"cost": receipt.cost_usd}
        head = _head(self._turn, receipt.result.route.identifier)
        return head | {"content": self._blocks} | ended | {"usage": usage}

    def _add(self, kind: str, text: str) -> None:
        if not self._pieces or self._blocks[-1]["type"] != kind:
            self._begin(dict(_EMPTY_BLOCKS[kind]))
        self._pieces.append(text)

    def _begin(self, block: dict[str, Any] | None) -> None:
        """Completes the last block, and adds this one."""
        if self._pieces:
            last = self._blocks[-1]
            last[last["type"]] = "".join(self._pieces)
        self._pieces = []
        if block is not None:
            self._blocks.append(block)


def _event(kind: str, **fields: Any) -> bytes:
    return named_frame(kind, {"type": kind} | fields)


def _head(turn: Turn, model: str) -> dict[str, Any]:
    return {"id": f"msg_{turn.turn_id}", "type": "message", "role": "assistant", "model": model}


def _usage(usage: Usage) -> dict[str, Any]:
    """Anthropic's counts: input tokens were neither read from a cache nor written to one."""
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }
