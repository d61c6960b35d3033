"""OpenAI's chat completions, from the turn's events to chunks or one object; without any network.

Wire format: https://platform.openai.com/docs/api-reference/chat, read 2026-11-21.
"""

from __future__ import annotations

import time
from typing import Any, Final

from shared.error_response import error_body
from shared.events import Finish, Reasoning, Refusal, StopReason, Text
from shared.messages import ToolCall
from shared.routes import RouteChosen
from shared.run_turn import Failure, TurnEvent
from shared.sse import DONE, FrameTemplate, frame
from shared.turns import Receipt, Turn

_FINISH_REASONS: Final[dict[StopReason, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "filtered": "content_filter",
    "truncated": "stop",
}


class CompletionStream:
    """Encodes one completion as chunks; `wants_usage` adds the last one, with empty choices."""

    headers: Final[dict[str, str]] = {}

    def __init__(self, turn: Turn, *, wants_usage: bool) -> None:
        self._turn, self._wants_usage = turn, wants_usage
        self._head = _head(turn, "chat.completion.chunk")
        self._templates: dict[str, FrameTemplate] = {}
        self._calls = 0
        self._reason: str | None = None
        self._has_failed = False

    def begin(self) -> bytes:
        """The first chunk, which has the role."""
        return self._chunk({"role": "assistant", "content": ""})

    def encode(self, event: TurnEvent) -> bytes:
        """Frames of one event."""
        match event:
            case Text(text):
                return self._piece("content", text)
            case Reasoning(text):
                return self._piece("reasoning_content", text)
            case Refusal(text):
                return self._piece("refusal", text)
            case RouteChosen(route):
                self._head["model"] = route.identifier
                self._templates.clear()
            case ToolCall():
                self._calls += 1
                return self._chunk({"tool_calls": [{"index": self._calls - 1} | _called(event)]})
            case Finish(reason):
                self._reason = _FINISH_REASONS[reason]
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
        last = self._chunk({}, self._reason or "stop")
        usage = frame(self._head | {"choices": [], "usage": _usage(receipt)}) if self._wants_usage else b""
        return last + usage + DONE

    def _piece(self, field: str, text: str) -> bytes:
        if field not in self._templates:
            self._templates[field] = FrameTemplate(lambda mark: self._chunk({field: mark}))
        return self._templates[field].frame(text)

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return frame(self._head | {"choices": [choice]} | ({"usage": None} if self._wants_usage else {}))


class CompletionJson:
    """Encodes one completion as one object."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._calls: list[dict[str, Any]] = []
        self._thoughts: list[str] = []
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._reason: StopReason = "stop"

    def observe(self, event: TurnEvent) -> None:
        """Keeps what the receipt does not hold."""
        match event:
            case ToolCall():
                self._calls.append(_called(event))
            case Reasoning(text):
                self._thoughts.append(text)
            case Text(text):
                self._texts.append(text)
            case Refusal(text):
                self._refusals.append(text)
            case Finish(reason):
                self._reason = reason
            case _:
                pass

    def encode(self, receipt: Receipt) -> dict[str, Any]:
        """The completion."""
        refusal = "".join(self._refusals)
        content = "".join(self._texts) if refusal else receipt.result.content  # the result has both
        message: dict[str, Any] = {
            "role": "assistant",
            "content": content if content or not (self._calls or refusal) else None,
            "refusal": refusal or None,
        }
        if self._calls:
            message["tool_calls"] = self._calls
        if self._thoughts:
            message["reasoning_content"] = "".join(self._thoughts)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH_REASONS[self._reason]}
        head = _head(self._turn, "chat.completion") | {"model": receipt.result.route.identifier}
        return head | {"choices": [choice], "usage": _usage(receipt)}


def _head(turn: Turn, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{turn.turn_id}",
        "object": kind,
        "created": int(time.time()),
        "model": turn.routes[0].identifier,
    }


def _called(call: ToolCall) -> dict[str, Any]:
    """A call as OpenAI writes it; arguments, broken ones too, go to the client as the model wrote them."""
    arguments = call.text if call.broken is None else call.broken
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _usage(receipt: Receipt) -> dict[str, Any]:
    """OpenAI's counts; `cost` is in USD as OpenRouter sends it, null when the price is unknown."""
    usage = receipt.result.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "cost": receipt.cost_usd,
    }
