"""What a model call has used, at any moment: the provider's counts where it gave some, else an estimate."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from shared.events import ModelEvent, Reasoning, Text, Usage, UsageSource
from shared.messages import Message, ModelRequest, Tool, ToolCall
from shared.tokens import estimate_tokens

_AROUND_MESSAGE = 4
_MAX_TOKENS_AROUND_MESSAGE = 16  # as chat_begin reserves for a chat template's marks
_MAX_TOKENS_AROUND_CALL = 32  # its marks, or the words that describe it to a model without tools
_USUAL_IMAGE = 1_000  # the estimate without a count: between Gemini's 258 a tile and Claude's 1,600
_MAX_IMAGE_TOKENS = 48_200  # the dearest reading there is: gpt-4o-mini's of eight tiles (OpenAI's guide, 2026-11)
_SOURCES: tuple[UsageSource, ...] = ("estimate", "partial", "provider")  # the weakest first


class UsageMeter:
    """Measures the usage of one call from its events. The provider's latest count replaces earlier ones.

    A client node's counts are believed up to what was reserved: a token a byte in, what was asked for out.
    """

    def __init__(self, call: ModelRequest) -> None:
        self.has_content = False
        self._call = call
        self._counted: Usage | None = None
        self._pieces: list[str] = []
        self._uncounted: list[str] = []  # text since the provider's last count

    def observe(self, event: ModelEvent) -> None:
        """Takes note of one event."""
        match event:
            case Text(text) | Reasoning(text):
                self._note(text)
            case ToolCall():
                self._note(event.name + (event.broken or event.text))
            case Usage():
                self._counted = event
                self._uncounted.clear()
            case _:
                pass

    @property
    def is_counted(self) -> bool:
        """Whether the provider has counted anything yet."""
        return self._counted is not None

    def usage(self, *, is_complete: bool) -> Usage:
        """Usage so far.

        For an answer that was cut, it adds an estimate of the text after the provider's last count.
        """
        if self._counted is None:
            return self._estimate()
        usage = self._counted if is_complete else self._with_the_rest(self._counted)
        return self._bounded(usage) if self._call.node else usage

    def _note(self, text: str) -> None:
        self.has_content = True
        self._pieces.append(text)
        self._uncounted.append(text)

    def _with_the_rest(self, counted: Usage) -> Usage:
        uncounted = self._uncounted if counted.output_tokens else self._pieces
        so_far = min(counted.output_tokens + _tokens_of(uncounted), self._call.max_output_tokens)
        return replace(counted, output_tokens=max(counted.output_tokens, so_far), source="partial")

    def _estimate(self) -> Usage:
        messages = self._call.messages
        input_tokens = sum(estimate_tokens(_words_of(m)) + _AROUND_MESSAGE for m in messages)
        input_tokens += _USUAL_IMAGE * sum(len(m.images) for m in messages)
        return self._bounded(Usage(input_tokens, _tokens_of(self._pieces), source="estimate"))

    def _bounded(self, usage: Usage) -> Usage:
        input_tokens = min(usage.input_tokens, token_upper_bound(self._call.messages, self._call.tools))
        output_tokens = min(usage.output_tokens, self._call.max_output_tokens)
        return replace(
            usage,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=min(usage.cached_tokens, input_tokens),
            reasoning_tokens=min(usage.reasoning_tokens, output_tokens),
        )


def token_upper_bound(messages: Iterable[Message], tools: Iterable[Tool] = ()) -> int:
    """What a call can take in at most: no tokenizer makes more than a token of a byte."""
    offered = sum(
        len((tool.name + tool.description).encode()) + len(json.dumps(dict(tool.parameters))) for tool in tools
    )
    return offered + sum(_message_bound(message) + _MAX_TOKENS_AROUND_MESSAGE for message in messages)


def _message_bound(message: Message) -> int:
    """What only the provider understands of its own turn is its words once more, and its signatures."""
    native = len(json.dumps(message.native.content, default=str)) if message.native else 0
    ids = [call.id for call in message.tool_calls] + [message.tool_call_id or ""] * (message.role == "tool")
    plain = len("".join((_words_of(message), *ids)).encode()) + _MAX_TOKENS_AROUND_CALL * len(ids)
    return max(native, plain) + _MAX_IMAGE_TOKENS * len(message.images)


def _words_of(message: Message) -> str:
    calls = "".join(call.name + call.text for call in message.tool_calls)
    return message.content + calls


def _tokens_of(pieces: list[str]) -> int:
    text = "".join(pieces)
    return estimate_tokens(text) if text else 0


def total(usages: Iterable[Usage]) -> Usage:
    """Usage of several calls together, as uncertain as the least certain of them; zero of none."""
    known = list(usages)
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in known),
        output_tokens=sum(usage.output_tokens for usage in known),
        cached_tokens=sum(usage.cached_tokens for usage in known),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in known),
        source=min((usage.source for usage in known), key=_SOURCES.index, default="estimate"),
    )
