"""The events of a provider within bounds: measured, with valid text, and held until the first content."""

from __future__ import annotations

from shared.errors import ProviderError
from shared.events import CONTENT, CallPiece, Finish, ModelEvent, Reasoning, Refusal, Text
from shared.messages import ModelRequest, ToolCall
from shared.surrogates import SurrogateRepair
from shared.usage import UsageMeter

_MAX_CHARACTERS_PER_TOKEN = 64  # more than any tokenizer's longest piece: a host over this limit sends too much


class Intake:
    """Takes the events of a host: measured, with valid text and within bounds.

    The bounds are no tool calls without tools, and a maximum of text. A call of an unknown tool is passed on, because
    the tool loop answers it with the names of the tools. `has_begun` is whether the host has sent any content.
    """

    def __init__(self, call: ModelRequest, context_window: int | None = None) -> None:
        self.meter = UsageMeter(call, context_window)
        self.has_begun = self.has_ended = self.is_complete = False
        self._repair = SurrogateRepair()
        self._held: list[ModelEvent] = []
        self._may_call = bool(call.tools) and call.may_call_tools
        self._may_be_empty = bool(call.stop)  # a stop sequence may be the first thing that the model writes
        self._characters_left = _MAX_CHARACTERS_PER_TOKEN * (call.max_output_tokens + 100)

    def take(self, event: ModelEvent) -> list[ModelEvent]:
        """The events to pass on now: none before the first content. Raises ProviderError over the maximum."""
        self.has_begun = self.has_begun or isinstance(event, CONTENT)
        for each in self._repair.joined(event):
            if (kept := self._within_bounds(each)) is not None:
                self.meter.observe(kept)
                self._held.append(kept)
                self.has_ended = isinstance(kept, Finish) and kept.reason != "truncated"
                self.is_complete = isinstance(kept, Finish) and self._is_end(kept)
        if not (self.meter.has_content or self.is_complete):
            return []
        ready, self._held = self._held, []
        return ready

    def _is_end(self, finish: Finish) -> bool:
        """Whether the answer is complete: an end without any content is the failure of a model."""
        is_answer = self.meter.has_content or self._may_be_empty or finish.reason in {"length", "filtered"}
        return finish.reason != "truncated" and is_answer

    def _within_bounds(self, event: ModelEvent) -> ModelEvent | None:
        """The event to pass on; None for a dropped one. Raises ProviderError over the maximum."""
        match event:
            case Text() | Reasoning() | Refusal():
                self._characters_left -= len(event.text)
                if self._characters_left < 0:
                    raise ProviderError("The model sent more than it was asked for.")
            case CallPiece() | ToolCall() if not self._may_call:
                return None
            case Finish(reason="tool_calls") if not self._may_call:
                return Finish("stop")
            case _:
                pass
        return event
